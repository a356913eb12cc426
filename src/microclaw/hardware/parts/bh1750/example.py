# Switches a lamp on when it gets dark.
from time import sleep_ms

from bh1750 import BH1750
from machine import I2C, Pin

lamp = Pin(5, Pin.OUT)
light_meter = BH1750(I2C(0, scl=Pin(9), sda=Pin(8)))

while True:
    lux = light_meter.luminance(BH1750.CONT_HIRES_1)
    print(f"Light: {lux:.2f} lx")
    lamp.value(lux < 100)
    sleep_ms(500)
