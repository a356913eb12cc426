# Fade: the brightness of the pin rises and falls once in
# PERIOD_MS, forever. ON is the level that lights: 0 where the
# LED is lit by low.
from machine import PWM, Pin
from time import sleep_ms

PIN = 5
PERIOD_MS = 2000
STEP_MS = 20
ON = 1

led = PWM(Pin(PIN), freq=1000, duty_u16=65535 * (1 - ON))
position_ms = 0
while True:
    sleep_ms(STEP_MS)
    position_ms = (position_ms + STEP_MS) % PERIOD_MS
    level = position_ms * 510 // PERIOD_MS  # 510: up and down
    duty = min(level, 510 - level)
    if not ON:
        duty = 255 - duty
    led.duty_u16(duty * 257)
