import math
import time
from machine import Pin

E = math.e
main = 3
led = Pin(13, Pin.OUT)
for i in range(main):
    led.value(i % 2 == 0)
    time.sleep_ms(100)
print("E is %.3f, main is %d" % (E, main))
