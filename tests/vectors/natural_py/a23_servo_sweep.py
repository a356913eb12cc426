from machine import Pin, PWM
from time import sleep

servo = PWM(Pin(12), freq=50, duty=0)


def angle(deg):
    servo.duty(int(26 + deg / 180 * 102))


while True:
    for d in range(0, 181, 45):
        angle(d)
        sleep(0.2)
    for d in range(180, -1, -45):
        angle(d)
        sleep(0.2)
