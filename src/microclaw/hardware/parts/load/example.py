# A pump on pin 5 that runs for one second every four seconds.
from machine import Pin
from time import sleep

pump = Pin(5, Pin.OUT, value=0)

while True:
    pump.value(1)
    sleep(1)
    pump.value(0)
    sleep(3)
