# LED blink: the COUNT addressable LEDs (WS2812) in a row on the
# pin are lit in a color for HALF_PERIOD_MS, then off as long.
from machine import Pin
from neopixel import NeoPixel
from time import sleep_ms

PIN = 48
COUNT = 1
HALF_PERIOD_MS = 500
RED = 255
GREEN = 0
BLUE = 0

leds = NeoPixel(Pin(PIN), COUNT)
is_on = False
while True:
    is_on = not is_on
    leds.fill((RED, GREEN, BLUE) if is_on else (0, 0, 0))
    leds.write()
    sleep_ms(HALF_PERIOD_MS)
