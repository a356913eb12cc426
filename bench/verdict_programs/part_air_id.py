from machine import I2C, Pin
from time import sleep

bus = I2C(0, sda=Pin(8), scl=Pin(9), freq=100000)
AIR = 0x76

chip_id = bus.readfrom_mem(AIR, 0xD0, 1)[0]
while True:
    print("chip 0x%02x" % chip_id)
    sleep(1)
