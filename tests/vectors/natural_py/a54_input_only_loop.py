from machine import Pin

PINS = (12, 13, 34)
leds = [Pin(n, Pin.OUT) for n in PINS]
for led in leds:
    led.on()
