# A dimmer: the potentiometer on pin 4 sets the brightness of the LED on pin 5.
from machine import ADC, PWM, Pin
from time import sleep_ms

pot = ADC(Pin(4), atten=ADC.ATTN_11DB)
pot.atten(ADC.ATTN_11DB)
led = PWM(Pin(5), freq=1000)

while True:
    led.duty_u16(pot.read_u16())
    sleep_ms(50)
