# LED effects: COUNT addressable LEDs (WS2812) in a row. chase:
# one runs along. wipe: they light one after another, and go dark
# so. breathe: all become bright and dark again in 100 steps.
from machine import Pin
from neopixel import NeoPixel
from time import sleep_ms

PIN = 48
COUNT = 8
EFFECT = "chase"
COLOR = "blue"
STEP_MS = 100

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


def bright(step):  # 0 to 255, dark at the ends
    way = step % 100
    return max(0, min(way, 100 - way) - 5) * 255 // 45


def light(i, step):
    if EFFECT == "chase":
        return 255 if i == step % COUNT else 0
    if EFFECT == "wipe":
        return 255 if i <= step % (2 * COUNT) < i + COUNT else 0
    return bright(step)


leds = NeoPixel(Pin(PIN), COUNT)
red, green, blue = COLORS[COLOR]
steps = 0
while True:
    for i in range(COUNT):
        level = light(i, steps)
        leds[i] = (red * level // 255, green * level // 255, blue * level // 255)
    leds.write()
    sleep_ms(STEP_MS)
    steps = (steps + 1) % (200 * COUNT)
