# Servo dial: the servo goes to the angle that the potentiometer
# shows. Its pulses are MIN_US to MAX_US long.
from machine import ADC, PWM, Pin
from time import sleep_ms

POT_PIN = 1
SERVO_PIN = 5
MIN_US = 500
MAX_US = 2500

pot = ADC(Pin(POT_PIN), atten=ADC.ATTN_11DB)
pot.atten(ADC.ATTN_11DB)
servo = PWM(Pin(SERVO_PIN), freq=50, duty_u16=0)
while True:
    pulse_us = MIN_US + (MAX_US - MIN_US) * pot.read_u16() // 65535
    servo.duty_ns(pulse_us * 1000)
    sleep_ms(20)
