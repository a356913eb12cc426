import time
from machine import Pin
from neopixel import NeoPixel

NUM = 8
np = NeoPixel(Pin(13), NUM)


def wheel(pos):
    pos = 255 - pos
    if pos < 85:
        return (255 - pos * 3, 0, pos * 3)
    if pos < 170:
        pos -= 85
        return (0, pos * 3, 255 - pos * 3)
    pos -= 170
    return (pos * 3, 255 - pos * 3, 0)


offset = 0
while True:
    for i in range(NUM):
        np[i] = wheel((i * 256 // NUM + offset) & 255)
    np.write()
    offset = (offset + 8) % 256
    time.sleep_ms(100)
