# A lamp on pin 2 that each press of the button on pin 6 switches on or off, and a line for each press.
from machine import Pin
from time import sleep_ms

button = Pin(6, Pin.IN, Pin.PULL_UP)
lamp = Pin(2, Pin.OUT, value=0)
was_pressed = False
count = 0

while True:
    is_pressed = button.value() == 0
    if is_pressed != was_pressed:
        was_pressed = is_pressed
        if is_pressed:
            count += 1
            lamp.value(not lamp.value())
            print("press", count)
        # The contacts bounce for some milliseconds.
        sleep_ms(20)
    sleep_ms(5)
