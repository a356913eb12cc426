import time
from machine import Pin


class Lamp:
    MAKE = 1

    def __init__(self, n):
        self.pin = Pin(n, Pin.OUT)
        time.sleep_ms(10)

    @classmethod
    def red(cls):
        return cls(12) if cls.MAKE else None


Lamp.red().pin.on()
