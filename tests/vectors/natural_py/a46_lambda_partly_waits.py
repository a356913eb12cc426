import time
from machine import Pin

led = Pin(13, Pin.OUT)


def read():
    time.sleep_ms(5)
    return 3


twice = lambda: read() * 2
print(twice())
