# Day and night light: the light is on while the sensor's output
# is high, in the dark. A change counts after HOLD_MS.
from machine import Pin
from time import sleep_ms

DARK_PIN = 4
LIGHT_PIN = 5
HOLD_MS = 5000
LOOK_MS = 100

sensor = Pin(DARK_PIN, Pin.IN, Pin.PULL_DOWN)
light = Pin(LIGHT_PIN, Pin.OUT, value=0)
is_on = last = same_ms = 0
while True:
    sleep_ms(LOOK_MS)
    is_dark = sensor.value()
    same_ms = same_ms + LOOK_MS if is_dark == last else 0
    last = is_dark
    if is_dark != is_on and same_ms >= HOLD_MS:
        is_on = is_dark
        light.value(is_on)
        print("night: light on" if is_on else "day: light off")
