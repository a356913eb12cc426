# PWM pulse: the pin is driven with DUTY of 255 for FOR_MS, once.
# ON is the level that lights: 0 where the LED is lit by low.
from machine import PWM, Pin
from time import sleep_ms

PIN = 5
DUTY = 128
FREQUENCY_HZ = 1000
FOR_MS = 1000
ON = 1

duty = DUTY
if not ON:
    duty = 255 - DUTY
light = PWM(Pin(PIN), freq=FREQUENCY_HZ, duty_u16=duty * 257)
sleep_ms(FOR_MS)
light.duty_u16(65535 * (1 - ON))
