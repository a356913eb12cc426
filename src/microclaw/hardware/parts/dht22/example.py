# Prints temperature and humidity every two seconds.
from dht import DHT22
from machine import Pin
from time import sleep

sensor = DHT22(Pin(4))

while True:
    sleep(2)
    sensor.measure()
    print("%.1f C, %.0f %%" % (sensor.temperature(), sensor.humidity()))
