print("the tester runs")
