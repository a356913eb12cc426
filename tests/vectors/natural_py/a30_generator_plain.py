from machine import Pin
import time


def pattern():
    while True:
        for ms in (100, 50, 200):
            yield ms


led = Pin(13, Pin.OUT)
for ms in pattern():
    led.value(not led.value())
    time.sleep_ms(ms)
