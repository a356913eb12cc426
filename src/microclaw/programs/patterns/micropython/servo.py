# Servo: the servo on the pin turns to ANGLE, 0 to 180 degrees,
# and is held there. Its pulses are MIN_US to MAX_US long.
from machine import PWM, Pin

PIN = 4
ANGLE = 90
MIN_US = 500
MAX_US = 2500

servo = PWM(Pin(PIN), freq=50, duty_u16=0)
servo.duty_ns((MIN_US + (MAX_US - MIN_US) * ANGLE // 180) * 1000)
