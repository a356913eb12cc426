# Prints temperature and pressure each second.
from time import sleep

from bmp280 import BMP280, BMP280_CASE_WEATHER, BMP280_OS_HIGH
from machine import I2C, Pin

bus = I2C(0, scl=Pin(9), sda=Pin(8))
bmp = BMP280(bus)
bmp.use_case(BMP280_CASE_WEATHER)
bmp.oversample(BMP280_OS_HIGH)

while True:
    print(f"Temperature = {bmp.temperature:.2f} *C")
    print(f"Pressure = {bmp.pressure:.2f} Pa")
    sleep(1)
