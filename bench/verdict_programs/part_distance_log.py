from hcsr04 import HCSR04
from machine import Pin
from time import sleep_ms

sensor = HCSR04(trigger_pin=6, echo_pin=7)
full = Pin(5, Pin.OUT)

while True:
    try:
        cm = sensor.distance_cm()
        print("level", round(100 - cm), "cm")
        full.value(1 if cm < 15 else 0)
    except OSError:
        print("no echo")
    sleep_ms(500)
