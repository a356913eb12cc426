from machine import Pin, PWM
import time

pwm = PWM(Pin(13), freq=1000)
while True:
    for duty in range(0, 65536, 8192):
        pwm.duty_u16(duty)
        time.sleep_ms(50)
    for duty in range(65535, -1, -8192):
        pwm.duty_u16(duty)
        time.sleep_ms(50)
