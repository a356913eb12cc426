import sys
import time

for i in range(3):
    print(i, end=" ")
    time.sleep_ms(5)
print()
print("a", "b", sep="-")
say = print
say("via name")
[print(x) for x in "xy"]
list(map(print, (1, 2)))
