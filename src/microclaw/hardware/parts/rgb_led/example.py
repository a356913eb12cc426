# An RGB LED with its cathode on ground shows red, then orange, then violet, one second each.
from machine import PWM, Pin
from time import sleep_ms

COLORS = ((255, 0, 0), (255, 128, 0), (128, 0, 255))

leds = [PWM(Pin(number), freq=1000, duty_u16=0) for number in (5, 6, 7)]

while True:
    for color in COLORS:
        for i in range(3):
            leds[i].duty_u16(color[i] * 257)
        sleep_ms(1000)
