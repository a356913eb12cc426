import time

t = time.localtime(0)
print("{:02d}:{:02d}".format(*t[3:5]), "%s/%d%%" % ("x", 5), "{0}{1}{0}".format("a", "b"))
n = 3.14159
w = 10
print(f"[{n:{w}.{2}f}] {{literal}} {w:#x} {'q' + 'r' !r}")
print(f"{t[0]}-{t[1]:02}" if t else f"none", f"{n=:.2f}", rf"\d{w}")
