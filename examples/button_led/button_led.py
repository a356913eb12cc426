# Button: the LED is on while the button, which connects its
# pin to ground, is pressed. ON is the level that lights: 0
# where the LED is lit by low.
from machine import Pin
from time import sleep_ms

BUTTON_PIN = 0
LED_PIN = 2
ON = 1

button = Pin(BUTTON_PIN, Pin.IN, Pin.PULL_UP)
led = Pin(LED_PIN, Pin.OUT, value=1 - ON)
was_pressed = False
print("watching the button on pin", BUTTON_PIN)
while True:
    pressed = not button.value()
    if pressed != was_pressed:
        if pressed:
            led.value(ON)
            print("button pressed")
        else:
            led.value(1 - ON)
            print("button released")
    was_pressed = pressed
    sleep_ms(20)
