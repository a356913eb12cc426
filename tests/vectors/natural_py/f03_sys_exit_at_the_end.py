import sys
from machine import Pin

Pin(13, Pin.OUT).on()
print("done")
sys.exit(0)
