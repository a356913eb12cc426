# A lamp on pin 2 that is on while the switch on pin 6 connects it with ground.
from machine import Pin
from time import sleep_ms

switch = Pin(6, Pin.IN, Pin.PULL_UP)
lamp = Pin(2, Pin.OUT, value=0)

while True:
    lamp.value(not switch.value())
    sleep_ms(10)
