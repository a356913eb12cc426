from machine import ADC, Pin
import time

soil = ADC(Pin(4), atten=ADC.ATTN_11DB)
pump = Pin(5, Pin.OUT, value=1)  # relay, active low
WET = 25200
DRY = 50400


def moisture():
    return (DRY - soil.read_u16()) * 100 // (DRY - WET)


while True:
    m = moisture()
    print("moisture", m)
    if m < 30:
        pump(0)
        time.sleep(2)
        pump(1)
        time.sleep(5)
    time.sleep(1)
