import time
from machine import Pin


class Task:
    def __init__(self, fn, period):
        self.fn = fn
        self.period = period
        self.next = time.ticks_add(time.ticks_ms(), period)

    def poll(self):
        if time.ticks_diff(time.ticks_ms(), self.next) >= 0:
            self.next = time.ticks_add(self.next, self.period)
            self.fn()


a, b = Pin(12, Pin.OUT), Pin(13, Pin.OUT)


def blink_a():
    a.value(not a.value())


def flash_b():
    b.on()
    time.sleep_ms(5)
    b.off()


tasks = [Task(blink_a, 100), Task(flash_b, 250)]
while True:
    for t in tasks:
        t.poll()
    time.sleep_ms(1)
