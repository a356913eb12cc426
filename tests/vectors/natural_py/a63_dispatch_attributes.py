import time
from machine import Pin


class Sequencer:
    def __init__(self):
        self.led = Pin(13, Pin.OUT)
        self.steps = []
        self.delay = time.sleep_ms

    def add(self, fn, *args):
        self.steps.append((fn, args))
        return self

    def blink(self, n):
        for _ in range(n):
            self.led.on()
            self.delay(40)
            self.led.off()
            self.delay(60)

    def say(self, text):
        print(text)

    def run(self):
        for fn, args in self.steps:
            fn(*args)


s = Sequencer()
s.add(s.blink, 2).add(s.say, "middle").add(s.blink, 1)
s.run()
