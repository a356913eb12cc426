from machine import Pin
import time


class Motor:
    def __init__(self, a, b):
        self.a = Pin(a, Pin.OUT)
        self.b = Pin(b, Pin.OUT)
        self.a.on()
        time.sleep_ms(300)
        self.a.off()

    def turn(self, ms):
        self.b.on()
        time.sleep_ms(ms)
        self.b.off()


class Geared(Motor):
    def __init__(self, a, b, ratio):
        super().__init__(a, b)
        self.ratio = ratio

    def turn(self, ms):
        super().turn(ms * self.ratio)


m = Geared(12, 13, 2)
m.turn(100)
m.turn(200)
print("ratio", m.ratio)
