"""apa106.APA106 as in micropython-lib: a NeoPixel whose first colour is red."""

from neopixel import NeoPixel


class APA106(NeoPixel):
    ORDER = (0, 1, 2, 3)
