import time
from machine import Pin


class Lamp:
    def __init__(self, n):
        self.pin = Pin(n, Pin.OUT)

    def on(self):
        self.pin.on()
        time.sleep_ms(25)

    def off(self):
        self.pin.off()


class Fake:
    def on(self):
        print("fake on")

    def off(self):
        time.sleep_ms(10)
        print("fake off")


for thing in (Lamp(12), Fake(), Pin(13, Pin.OUT)):
    thing.on()
    time.sleep_ms(50)
    thing.off()
print(sorted([3, 1, 2]), "on".upper())
