import time
from machine import Pin


class TrafficLight:
    PHASES = (("red", 600), ("green", 400), ("yellow", 200))

    def __init__(self, **pins):
        self.lamps = {name: Pin(n, Pin.OUT) for name, n in pins.items()}

    def show(self, on):
        for name, lamp in self.lamps.items():
            lamp.value(1 if name == on else 0)

    def run(self, cycles):
        for _ in range(cycles):
            for name, ms in self.PHASES:
                self.show(name)
                print(name)
                time.sleep_ms(ms)


TrafficLight(red=12, yellow=13, green=14).run(2)
