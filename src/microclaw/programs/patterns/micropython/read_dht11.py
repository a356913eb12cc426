# Read: print a value of the DHT11 on the pin every EVERY_MS, forever.
from dht import DHT11
from machine import Pin
from time import sleep_ms, ticks_diff, ticks_ms

PIN = 4
QUANTITY = "temperature"
EVERY_MS = 10000

sensor = DHT11(Pin(PIN))
while True:
    begun_ms = ticks_ms()
    try:
        sensor.measure()
    except OSError:
        print("the DHT11 does not answer")
    else:
        value = sensor.temperature()
        if QUANTITY == "humidity":
            value = sensor.humidity()
        print("%s %.1f" % (QUANTITY, value))
    sleep_ms(EVERY_MS - ticks_diff(ticks_ms(), begun_ms))
