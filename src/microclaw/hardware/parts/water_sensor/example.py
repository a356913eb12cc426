# Fills a tank: the pump on pin 5 runs from below 20 % until the water is above 80 %.
from machine import ADC, Pin
from time import sleep_ms

FULL_V = 2.0

sensor = ADC(Pin(4), atten=ADC.ATTN_11DB)
pump = Pin(5, Pin.OUT, value=0)

while True:
    percent = sensor.read_uv() / 10000 / FULL_V
    if percent < 20 and not pump.value():
        print("tank at %.0f %%: pump on" % percent)
        pump.on()
    if percent > 80 and pump.value():
        print("tank at %.0f %%: pump off" % percent)
        pump.off()
    sleep_ms(100)
