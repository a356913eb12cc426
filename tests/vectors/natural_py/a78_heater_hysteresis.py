"""A thermostat."""
import time
from machine import ADC, Pin

TARGET = 1000
BAND = 200
heater = Pin(13, Pin.OUT, value=0)
sensor = ADC(34)


def temperature():
    return sum([sensor.read() for _ in range(4)]) / 4


heating = False
readings = []
while True:
    t = temperature()
    readings.append(t)
    if len(readings) > 5:
        readings.pop(0)
    if heating and t > TARGET + BAND:
        heating = False
    elif not heating and t < TARGET - BAND:
        heating = True
    heater.value(heating)
    print("T={:.0f} heat={}".format(t, int(heating)))
    time.sleep(1)
