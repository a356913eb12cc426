# Fast blink: the pin goes on and off FREQUENCY_HZ times a
# second, forever: by PWM, as a loop would lose time with each
# change.
from machine import PWM, Pin

PIN = 5
FREQUENCY_HZ = 100

output = PWM(Pin(PIN), freq=FREQUENCY_HZ, duty_u16=32768)
