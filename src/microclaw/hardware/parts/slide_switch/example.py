# A slide switch on pin 4 chooses how fast the LED on pin 5 blinks.
from machine import Pin
from time import sleep_ms

switch = Pin(4, Pin.IN)
led = Pin(5, Pin.OUT)
was_fast = None

while True:
    is_fast = switch.value() == 1
    if is_fast != was_fast:
        print("fast" if is_fast else "slow")
        was_fast = is_fast
    led.value(not led.value())
    sleep_ms(100 if is_fast else 500)
