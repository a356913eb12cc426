import time
from machine import Pin

x = 4
y = x
del x
try:
    print(x)
except NameError:
    print("gone", y)
time.sleep_ms(10)
