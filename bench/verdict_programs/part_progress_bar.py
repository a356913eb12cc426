from machine import Pin
from neopixel import NeoPixel
from time import sleep_ms

COUNT = 8
bar = NeoPixel(Pin(48), COUNT)
for done in range(COUNT):
    bar[done] = (0, 40, 0)
    bar.write()
    sleep_ms(250)
for i in range(COUNT):
    bar[COUNT - 1 - i] = (40, 0, 0)
bar.write()
