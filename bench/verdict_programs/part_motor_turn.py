from machine import Pin
from time import sleep_ms, sleep_us

step = Pin(4, Pin.OUT, value=0)
direction = Pin(5, Pin.OUT, value=1)


def turn(steps, half_us):
    for _ in range(steps):
        step.value(1)
        sleep_us(half_us)
        step.value(0)
        sleep_us(half_us)


turn(200, 1000)
sleep_ms(500)
direction.value(0)
turn(100, 1000)
