import time
from machine import Pin


class Motor:
    def __init__(self, pin):
        self.pin = Pin(pin, Pin.OUT)
        time.sleep_ms(100)


def make(kind, pin):
    return kind(pin)


m = make(Motor, 12)
