# Prints temperature and humidity every two seconds.
from dht import DHT11
from machine import Pin
from time import sleep

sensor = DHT11(Pin(4))

while True:
    sleep(2)
    sensor.measure()
    print("%.1f C, %.0f %%" % (sensor.temperature(), sensor.humidity()))
