from machine import Pin
import time

a = Pin(14, Pin.IN, Pin.PULL_UP)
b = Pin(27, Pin.IN, Pin.PULL_UP)


def handler(pin):
    if pin is a:
        print("a")
    elif pin == b:
        print("b")


for p in (a, b):
    p.irq(handler=handler, trigger=Pin.IRQ_FALLING)
while True:
    time.sleep_ms(100)
