from machine import Pin
import time


class Base:
    def __init__(self, pin):
        self.pin = Pin(pin, Pin.OUT)

    def step(self):
        raise NotImplementedError

    def run(self, rounds):
        for i in range(rounds):
            self.step()


class Slow(Base):
    def step(self):
        self.pin.on()
        time.sleep_ms(300)
        self.pin.off()
        time.sleep_ms(300)


class Fast(Slow):
    def step(self):
        super().step()
        self.pin.on()
        time.sleep_ms(50)
        self.pin.off()


class Quiet(Base):
    def step(self):
        self.pin.value(0)


for item in [Slow(12), Fast(13), Quiet(14)]:
    item.run(2)
print("all run")
