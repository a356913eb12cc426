import dht
from machine import Pin
import time

sensor = dht.DHT22(Pin(4))
fan = Pin(5, Pin.OUT)
fan.off()

while True:
    time.sleep(2)
    sensor.measure()
    t = sensor.temperature()
    h = sensor.humidity()
    print("%.1f C %.1f %%" % (t, h))
    if h > 60:
        fan.on()
    elif h < 55:
        fan.off()
