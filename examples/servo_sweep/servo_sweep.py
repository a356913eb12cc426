# Servo sweep: the servo on the pin turns from 0 to 180 degrees
# and back once in PERIOD_MS, forever.
from machine import PWM, Pin
from time import sleep_ms

PIN = 4
PERIOD_MS = 4000
STEP_MS = 20
MIN_US = 500
MAX_US = 2500

servo = PWM(Pin(PIN), freq=50, duty_u16=0)
position_ms = 0
while True:
    way_ms = min(position_ms, PERIOD_MS - position_ms)
    servo.duty_ns((MIN_US + (MAX_US - MIN_US) * 2 * way_ms // PERIOD_MS) * 1000)
    sleep_ms(STEP_MS)
    position_ms = (position_ms + STEP_MS) % PERIOD_MS
