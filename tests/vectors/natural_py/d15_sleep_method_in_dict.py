import time
from machine import Pin

led = Pin(13, Pin.OUT)
STEPS = [(led.on, ()), (time.sleep_ms, (100,)), (led.off, ()), (time.sleep, (0.1,)), (print, ("end",))]
for f, args in STEPS:
    f(*args)
