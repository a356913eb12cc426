# Prints the weight on a load cell in grams.
from hx711_gpio import HX711
from machine import Pin
from time import sleep_ms

hx = HX711(Pin(5, Pin.OUT), Pin(4, Pin.IN, Pin.PULL_DOWN))
hx.tare()
hx.set_scale(420)

while True:
    print("weight: %.1f g" % hx.get_units())
    sleep_ms(2000)
