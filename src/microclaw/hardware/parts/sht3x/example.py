# Prints temperature and humidity each second.
import time

import sht31
from machine import I2C, Pin

i2c = I2C(0, scl=Pin(9), sda=Pin(8), freq=400000)
sensor = sht31.SHT31(i2c, addr=0x44)

while True:
    temp, humi = sensor.get_temp_humi()
    print(f"Temp *C = {temp:.2f}  Hum. % = {humi:.2f}")
    time.sleep(1)
