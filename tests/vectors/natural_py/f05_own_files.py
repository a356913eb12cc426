import io
import json
import os

os.mkdir("logs")
with open("logs/a.txt", "w") as f:
    f.write("one\n")
with io.open("logs/b.txt", "wb") as f:
    f.write(b"two\n")
os.rename("logs/b.txt", "logs/c.txt")
print(sorted(os.listdir("logs")), [row[0] for row in sorted(os.ilistdir("logs"))])
print(open("logs/a.txt").read(), os.stat("logs/c.txt")[6])
with open("logs/cfg.json", "w") as f:
    json.dump({"n": 1}, f)
with open("logs/cfg.json") as f:
    print(json.load(f))
for name in ("logs/a.txt", "logs/c.txt", "logs/cfg.json"):
    try:
        open(name).close()
    except OSError:
        print("lost", name)
os.remove("logs/a.txt")
os.remove("logs/c.txt")
os.remove("logs/cfg.json")
os.rmdir("logs")
try:
    open("logs/a.txt")
except OSError:
    print("gone")
