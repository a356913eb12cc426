# Button toggle: each press of the button, which connects its pin
# to ground, switches the LED on or off. ON is the level that
# lights: 0 where the LED is lit by low.
from machine import Pin
from time import sleep_ms

BUTTON_PIN = 4
LED_PIN = 5
ON = 1
LOOK_MS = 20

button = Pin(BUTTON_PIN, Pin.IN, Pin.PULL_UP)
led = Pin(LED_PIN, Pin.OUT, value=1 - ON)
is_on = False
was_down = False
is_pressed = False
while True:
    is_down = not button.value()
    # Contacts bounce, so two looks must agree.
    if is_down == was_down and is_down != is_pressed:
        is_pressed = is_down
        if is_pressed:
            is_on = not is_on
            if is_on:
                led.value(ON)
                print("led on")
            else:
                led.value(1 - ON)
                print("led off")
    was_down = is_down
    sleep_ms(LOOK_MS)
