# Counter on a display: each press of a button, which connects
# its pin to ground, counts once. A level counts when it held for
# DEBOUNCE_MS.
from machine import Pin
from microclaw import screen
from time import sleep_ms

DISPLAY = screen.ssd1306(sda=8, scl=9)
BUTTON_PIN = 4
DEBOUNCE_MS = 25
LOOK_MS = 5

button = Pin(BUTTON_PIN, Pin.IN, Pin.PULL_UP)
state = last = 1
same_ms = count = 0
DISPLAY.number(count, "", "presses")
while True:
    sleep_ms(LOOK_MS)
    level = button.value()
    same_ms = same_ms + LOOK_MS if level == last else 0
    last = level
    if level != state and same_ms >= DEBOUNCE_MS:
        state = level
        if not level:
            count += 1
            DISPLAY.number(count, "", "presses")
            print("count", count)
