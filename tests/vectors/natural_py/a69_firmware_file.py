with open("main.py", "w") as f:
    f.write("print(1)")
