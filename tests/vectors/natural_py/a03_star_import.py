from machine import *
from time import *

led = Pin(14, Pin.OUT)
for i in range(6):
    led.value(i % 2)
    sleep_ms(150)
print("done", i)
