# Turns a motor on an A4988 a turn forth and back.
from machine import Pin
from time import sleep_ms

step = Pin(4, Pin.OUT, value=0)
direction = Pin(5, Pin.OUT, value=1)
enable = Pin(6, Pin.OUT, value=0)

while True:
    for _ in range(200):
        step.value(1)
        sleep_ms(1)
        step.value(0)
        sleep_ms(4)
    sleep_ms(1000)
    direction.value(not direction.value())
