import micropython
import time
from machine import Pin


@micropython.native
def blink(n):
    led = Pin(13, Pin.OUT)
    time.sleep_ms(n)


blink(3)
