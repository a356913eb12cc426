# Dimmer: the turn of the potentiometer is the brightness of the
# LED. ON is the level that lights: 0 where it is lit by low.
from machine import ADC, PWM, Pin
from time import sleep_ms

POT_PIN = 1
LED_PIN = 5
ON = 1

pot = ADC(Pin(POT_PIN), atten=ADC.ATTN_11DB)
pot.atten(ADC.ATTN_11DB)
led = PWM(Pin(LED_PIN), freq=1000, duty_u16=65535 * (1 - ON))
while True:
    duty = pot.read_u16()
    if not ON:
        duty = 65535 - duty
    led.duty_u16(duty)
    sleep_ms(20)
