# Sweeps a servo from one side to the other.
from time import sleep_ms

from machine import PWM, Pin

servo = PWM(Pin(4), freq=50)


def set_angle(degrees):
    servo.duty_ns(500_000 + degrees * 2_000_000 // 180)


set_angle(0)
sleep_ms(1000)
for degrees in range(0, 91, 5):
    set_angle(degrees)
    sleep_ms(20)
while True:
    sleep_ms(1000)
