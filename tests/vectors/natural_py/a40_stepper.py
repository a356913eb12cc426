from machine import Pin
from time import sleep_ms

pins = [Pin(n, Pin.OUT) for n in (12, 13, 14, 27)]
SEQ = [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]


def step(count, delay=5):
    for i in range(count):
        for pin, bit in zip(pins, SEQ[i % 4]):
            pin.value(bit)
        sleep_ms(delay)


step(20)
step(8, 20)
for p in pins:
    p.off()
print("done")
