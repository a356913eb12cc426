import time
from machine import Pin

btn = Pin(14, Pin.IN, Pin.PULL_UP)
led = Pin(13, Pin.OUT)
while (level := btn.value()) == 1:
    led.value(not led.value())
    time.sleep_ms(100)
print("released at", level)
