import os
import time

NAME = "a68.tmp"
with open(NAME, "w") as f:
    for i in range(3):
        f.write("%d\n" % i)
        time.sleep_ms(20)
with open(NAME) as f:
    lines = [line.strip() for line in f]
print(lines)
os.remove(NAME)
print(NAME in os.listdir())
