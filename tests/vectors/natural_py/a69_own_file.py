with open("main.py", "w") as f:
    f.write("print(1)")
print(open("main.py").read())
