# Prints the place of a knob whenever it is turned.
from machine import Pin
from rotary_irq_esp import RotaryIRQ
from time import sleep_ms

r = RotaryIRQ(pin_num_clk=4, pin_num_dt=5, min_val=0, max_val=10, range_mode=RotaryIRQ.RANGE_WRAP)
button = Pin(6, Pin.IN, Pin.PULL_UP)

last = r.value()
was_pressed = False
while True:
    value = r.value()
    if value != last:
        last = value
        print("place", value)
    is_pressed = not button.value()
    if is_pressed and not was_pressed:
        print("pressed")
    was_pressed = is_pressed
    sleep_ms(20)
