# A thermometer with a fan: the LED (or a fan's transistor) on pin 5 is on above 28 degrees.
import math
from machine import ADC, Pin
from time import sleep_ms

BETA = 3950

ntc = ADC(Pin(4), atten=ADC.ATTN_11DB)
ntc.atten(ADC.ATTN_11DB)
fan = Pin(5, Pin.OUT)

while True:
    value = ntc.read()
    celsius = 1 / (math.log(1 / (4095 / value - 1)) / BETA + 1 / 298.15) - 273.15
    fan.value(celsius > 28)
    print("temperature: %.1f" % celsius)
    sleep_ms(500)
