# Button counter: each press of a button, which connects its pin
# to ground, counts once. A level counts when it held for
# DEBOUNCE_MS.
from machine import Pin
from time import sleep_ms

PIN = 4
DEBOUNCE_MS = 25
LOOK_MS = 5

button = Pin(PIN, Pin.IN, Pin.PULL_UP)
state = last = 1
same_ms = count = 0
while True:
    sleep_ms(LOOK_MS)
    level = button.value()
    same_ms = same_ms + LOOK_MS if level == last else 0
    last = level
    if level != state and same_ms >= DEBOUNCE_MS:
        state = level
        if not level:
            count += 1
            print("count", count)
