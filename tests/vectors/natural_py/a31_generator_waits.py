from machine import Pin
import time

led = Pin(13, Pin.OUT)


def steps():
    time.sleep_ms(100)
    yield 1
    yield 2


for s in steps():
    led.value(s % 2)
