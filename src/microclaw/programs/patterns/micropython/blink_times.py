# Blink a number of times: the pin changes its level every
# HALF_PERIOD_MS until it was on TIMES times. ON is the level
# that lights: 0 where the LED is lit by low.
from machine import Pin
from time import sleep_ms

PIN = 2
HALF_PERIOD_MS = 500
TIMES = 3
ON = 1

led = Pin(PIN, Pin.OUT, value=ON)
for _ in range(TIMES):
    led.value(ON)
    sleep_ms(HALF_PERIOD_MS)
    led.value(1 - ON)
    sleep_ms(HALF_PERIOD_MS)
