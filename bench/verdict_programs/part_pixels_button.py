from machine import Pin
from neopixel import NeoPixel
import time

np = NeoPixel(Pin(48), 4)
button = Pin(4, Pin.IN, Pin.PULL_UP)
colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
i = 0
np.fill(colors[0])
np.write()
was = 1
while True:
    now = button.value()
    if was and not now:
        i = (i + 1) % 3
        np.fill(colors[i])
        np.write()
        time.sleep_ms(30)
    was = now
    time.sleep_ms(10)
