# LED color: the COUNT addressable LEDs (WS2812) in a row on the
# pin get a color, each part 0 to 255. They keep it.
from machine import Pin
from neopixel import NeoPixel

PIN = 48
COUNT = 1
RED = 255
GREEN = 0
BLUE = 0

leds = NeoPixel(Pin(PIN), COUNT)
leds.fill((RED, GREEN, BLUE))
leds.write()
