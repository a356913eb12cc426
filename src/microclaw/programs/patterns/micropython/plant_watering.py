# Plant watering: each EVERY_MS the soil is looked at; where its
# sensor gives more than DRY_MV, the pump runs for WATER_MS.
from machine import Pin
from microclaw import adc
from time import sleep_ms

SENSOR_PIN = 1
PUMP_PIN = 4
DRY_MV = 2000
EVERY_MS = 60000
WATER_MS = 5000

soil = adc(SENSOR_PIN)
pump = Pin(PUMP_PIN, Pin.OUT, value=0)
while True:
    soil_mv = soil.volts() * 1000
    print("soil %d mV" % soil_mv, "dry: watering" if soil_mv > DRY_MV else "moist")
    if soil_mv > DRY_MV:
        pump.on()
        sleep_ms(WATER_MS)
        pump.off()
    sleep_ms(EVERY_MS)
