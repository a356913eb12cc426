# Rainbow: the COUNT addressable LEDs (WS2812) in a row on the
# pin go through all colors once in PERIOD_MS, forever; together
# they show all of them.
from machine import Pin
from neopixel import NeoPixel
from time import sleep_ms

PIN = 48
COUNT = 1
PERIOD_MS = 5000
STEP_MS = 20


def color(position):  # 0 red, 256 green, 512 blue, 768 red
    third, way = divmod(position % 768, 256)
    up = way
    down = 255 - way
    return ((down, up, 0), (0, down, up), (up, 0, down))[third]


leds = NeoPixel(Pin(PIN), COUNT)
position_ms = 0
while True:
    for i in range(COUNT):
        leds[i] = color(position_ms * 768 // PERIOD_MS + i * 768 // COUNT)
    leds.write()
    sleep_ms(STEP_MS)
    position_ms = (position_ms + STEP_MS) % PERIOD_MS
