from machine import Pin
import time


class Led:
    """A LED with a rhythm."""

    def __init__(self, pin, on_ms=100, off_ms=200):
        self.pin = Pin(pin, Pin.OUT)
        self.on_ms = on_ms
        self.off_ms = off_ms

    def flash(self, n=1):
        for _ in range(n):
            self.pin.on()
            time.sleep_ms(self.on_ms)
            self.pin.off()
            time.sleep_ms(self.off_ms)

    @property
    def period(self):
        return self.on_ms + self.off_ms


red = Led(12)
green = Led(13, on_ms=50)
print("period %d" % red.period)
while True:
    red.flash(2)
    green.flash(3)
