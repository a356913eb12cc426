# Prints the temperature of each probe on the bus every two seconds.
from ds18x20 import DS18X20
from machine import Pin
from onewire import OneWire
from time import sleep_ms

bus = DS18X20(OneWire(Pin(17)))
probes = bus.scan()

while True:
    bus.convert_temp()
    # A measurement with 12 bits takes up to 750 ms.
    sleep_ms(750)
    for probe in probes:
        print("%.2f C" % bus.read_temp(probe))
    sleep_ms(1250)
