from machine import ADC, PWM, Pin
import time

pot = ADC(Pin(4), atten=ADC.ATTN_11DB)
servo = PWM(Pin(5), freq=50)


def write(angle):
    us = 500 + angle * 2000 // 180
    servo.duty_ns(us * 1000)


while True:
    angle = pot.read_u16() * 180 // 65535
    write(angle)
    time.sleep_ms(20)
