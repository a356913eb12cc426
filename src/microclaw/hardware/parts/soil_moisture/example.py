# Waters a plant: below 30 % the pump on pin 5 runs for 2 seconds, and then the water has 5 seconds to sink in.
from machine import ADC, Pin
from time import sleep_ms

DRY_V = 2.54
WET_V = 1.27

soil = ADC(Pin(4), atten=ADC.ATTN_11DB)
pump = Pin(5, Pin.OUT, value=0)

while True:
    volts = soil.read_uv() / 1000000
    percent = (DRY_V - volts) * 100 / (DRY_V - WET_V)
    print("soil: %.0f %%" % percent)
    if percent < 30:
        pump.on()
        sleep_ms(2000)
        pump.off()
    sleep_ms(5000)
