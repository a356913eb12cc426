from machine import I2C, Pin
import time

i2c = I2C(0, scl=Pin(22), sda=Pin(21), freq=400000)
while True:
    found = i2c.scan()
    print("found:", [hex(a) for a in found])
    for addr in found:
        i2c.writeto(addr, b"\x00")
    time.sleep(1)
