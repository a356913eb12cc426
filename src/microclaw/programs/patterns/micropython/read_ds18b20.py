# Read: print the temperature of the DS18B20 on the pin every
# EVERY_MS, forever.
from ds18x20 import DS18X20
from machine import Pin
from onewire import OneWire
from time import sleep_ms

PIN = 4
QUANTITY = "temperature"
EVERY_MS = 10000
CONVERT_MS = 750

bus = DS18X20(OneWire(Pin(PIN)))
sensors = bus.scan()
while True:
    if not sensors:
        print("no DS18B20 answers")
        sensors = bus.scan()
        sleep_ms(EVERY_MS)
    else:
        bus.convert_temp()
        sleep_ms(CONVERT_MS)
        print("%s %.1f" % (QUANTITY, bus.read_temp(sensors[0])))
        sleep_ms(EVERY_MS - CONVERT_MS)
