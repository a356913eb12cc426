# Counts on two digits with common cathodes: their segments are on the same pins, and each is lit in its turn.
from machine import Pin
from time import sleep_ms, ticks_diff, ticks_ms

SEGMENTS = [Pin(number, Pin.OUT, value=0) for number in (4, 5, 6, 7, 15, 16, 17)]
DIGITS = [Pin(number, Pin.OUT, value=1) for number in (18, 21)]
NUMBERS = b"\x3f\x06\x5b\x4f\x66\x6d\x7d\x07\x7f\x6f"


def light(place, number):
    for digit in DIGITS:
        digit.value(1)
    for bit, pin in enumerate(SEGMENTS):
        pin.value(NUMBERS[number] >> bit & 1)
    DIGITS[place].value(0)


count = 41
while True:
    print("count", count)
    begin = ticks_ms()
    while ticks_diff(ticks_ms(), begin) < 500:
        light(0, count // 10)
        sleep_ms(5)
        light(1, count % 10)
        sleep_ms(5)
    count += 1
