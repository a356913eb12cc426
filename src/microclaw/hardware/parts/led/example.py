# Blinks a lamp that is on while its pin is low, and dims another one.
from time import sleep_ms

from machine import PWM, Pin

lamp = Pin(5, Pin.OUT)
dimmed = PWM(Pin(6), freq=1000, duty_u16=13107)

while True:
    lamp.off()
    sleep_ms(500)
    lamp.on()
    sleep_ms(500)
