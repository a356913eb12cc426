from machine import Pin

for n in range(5, 8):
    Pin(n, Pin.OUT).on()
