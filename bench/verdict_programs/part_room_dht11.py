from machine import Pin
from dht import DHT11
from time import sleep

d = DHT11(Pin(16))
heater = Pin(17, Pin.OUT, value=0)
while True:
    d.measure()
    if d.temperature() < 18:
        heater(1)
    else:
        heater(0)
    print("T:", d.temperature(), "H:", d.humidity())
    sleep(3)
