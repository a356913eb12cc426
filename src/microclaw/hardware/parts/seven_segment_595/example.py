# Counts on four digits with common anodes over two shift registers: first go the segments, then the digit.
from machine import Pin
from time import sleep_ms, ticks_diff, ticks_ms

data = Pin(4, Pin.OUT)
clock = Pin(5, Pin.OUT, value=0)
latch = Pin(6, Pin.OUT, value=0)
NUMBERS = b"\x3f\x06\x5b\x4f\x66\x6d\x7d\x07\x7f\x6f"


def shift(byte):
    for bit in range(7, -1, -1):
        data.value(byte >> bit & 1)
        clock.value(1)
        clock.value(0)


def light(place, number):
    latch.value(0)
    shift(~NUMBERS[number] & 0xFF)
    shift(1 << place)
    latch.value(1)


count = 1241
while True:
    print("count", count)
    begin = ticks_ms()
    while ticks_diff(ticks_ms(), begin) < 500:
        for place, digit in enumerate(str(count)):
            light(place, int(digit))
            sleep_ms(3)
    count += 1
