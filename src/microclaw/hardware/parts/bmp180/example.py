# Prints temperature and pressure each half second.
from time import sleep_ms

from bmp180 import BMP180
from machine import I2C, Pin

bus = I2C(0, scl=Pin(9), sda=Pin(8), freq=100000)
bmp180 = BMP180(bus)
bmp180.oversample_sett = 2
bmp180.baseline = 101325

while True:
    print(f"Temperature = {bmp180.temperature:.2f} *C")
    print(f"Pressure = {bmp180.pressure:.0f} Pa")
    sleep_ms(500)
