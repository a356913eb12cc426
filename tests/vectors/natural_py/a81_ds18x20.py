import ds18x20
import machine
import onewire
import time

ds = ds18x20.DS18X20(onewire.OneWire(machine.Pin(14)))
roms = ds.scan()
print("sensors:", len(roms))
