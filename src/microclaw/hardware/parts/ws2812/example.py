# Lets a dot run along a chain of eight NeoPixels.
from time import sleep_ms

from machine import Pin
from neopixel import NeoPixel

np = NeoPixel(Pin(48), 8)

while True:
    for i in range(8):
        np.fill((0, 0, 0))
        np[i] = (255, 0, 0)
        np.write()
        sleep_ms(250)
