# A joystick prints where it points, and its button switches the LED on pin 5.
from machine import ADC, Pin
from time import sleep_ms

horz = ADC(Pin(4), atten=ADC.ATTN_11DB)
vert = ADC(Pin(6), atten=ADC.ATTN_11DB)
button = Pin(7, Pin.IN, Pin.PULL_UP)
led = Pin(5, Pin.OUT)
before = None
was_pressed = False


def direction():
    x = horz.read()
    y = vert.read()
    if x > 3000:
        return "left"
    if x < 1000:
        return "right"
    if y > 3000:
        return "up"
    if y < 1000:
        return "down"
    return "middle"


while True:
    now = direction()
    if now != before:
        print(now)
        before = now
    pressed = button.value() == 0
    if pressed and not was_pressed:
        led.value(not led.value())
    was_pressed = pressed
    sleep_ms(20)
