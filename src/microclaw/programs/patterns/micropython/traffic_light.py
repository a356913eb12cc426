# Traffic light: red, red and yellow, green, yellow, forever;
# red and green last LONG_MS, the others SHORT_MS.
from machine import Pin
from time import sleep_ms

RED_PIN = 4
YELLOW_PIN = 5
GREEN_PIN = 6
LONG_MS = 5000
SHORT_MS = 1000

red = Pin(RED_PIN, Pin.OUT)
yellow = Pin(YELLOW_PIN, Pin.OUT)
green = Pin(GREEN_PIN, Pin.OUT)


def show(r, y, g, ms):
    if not g:
        green.value(0)  # before another one goes on
    red.value(r)
    yellow.value(y)
    green.value(g)
    sleep_ms(ms)


while True:
    show(1, 0, 0, LONG_MS)
    show(1, 1, 0, SHORT_MS)
    show(0, 0, 1, LONG_MS)
    show(0, 1, 0, SHORT_MS)
