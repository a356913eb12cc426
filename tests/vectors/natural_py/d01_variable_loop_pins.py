import time
from machine import Pin

PINS = [12, 13, 14]
leds = []
for p in PINS:
    leds.append(Pin(p, Pin.OUT))
i = 0
while i < 6:
    for n, led in enumerate(leds):
        led.value(n == i % 3)
    i += 1
    time.sleep_ms(100)
