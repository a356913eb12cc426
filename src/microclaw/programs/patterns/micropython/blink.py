# Blink: the pin changes its level every HALF_PERIOD_MS.
# ON is the level that lights: 0 for an LED lit by low.
from machine import Pin
from time import sleep_ms

PIN = 2
HALF_PERIOD_MS = 500
ON = 1

led = Pin(PIN, Pin.OUT, value=ON)
while True:
    sleep_ms(HALF_PERIOD_MS)
    led.value(not led.value())
