from machine import ADC, Pin
import math, time

adc = ADC(Pin(4), atten=ADC.ATTN_11DB)
cooler = Pin(5, Pin.OUT)
BETA = 3950


def celsius():
    u = adc.read_uv() / 1e6
    r = u / (3.3 - u)
    return 1 / (math.log(r) / BETA + 1 / 298.15) - 273.15


while True:
    t = celsius()
    print("t = %.1f" % t)
    cooler.value(t > 30)
    time.sleep(1)
