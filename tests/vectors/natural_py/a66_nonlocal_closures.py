import time
from machine import Pin

led = Pin(12, Pin.OUT)


def make_counter(step):
    total = 0

    def tick():
        nonlocal total
        total += step
        led.value(total % 2)
        time.sleep_ms(30)
        return total

    return tick


a = make_counter(1)
b = make_counter(3)
print([a(), a(), b(), a(), b()])
while a() < 10:
    pass
print("end")
