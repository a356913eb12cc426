import time
from machine import Pin


class Powered:
    def __enter__(self):
        p = Pin(12, Pin.OUT)
        p.on()
        time.sleep_ms(100)
        return p

    def __exit__(self, *exc):
        pass


with Powered() as p:
    p.off()
