# Counts in binary on the eight outputs of a shift register.
from machine import Pin
from time import sleep_ms

data = Pin(4, Pin.OUT)
clock = Pin(5, Pin.OUT, value=0)
latch = Pin(6, Pin.OUT)


def write(number):
    latch.value(0)
    for bit in range(7, -1, -1):
        data.value(number >> bit & 1)
        clock.value(1)
        clock.value(0)
    latch.value(1)


while True:
    for number in range(256):
        write(number)
        sleep_ms(100)
