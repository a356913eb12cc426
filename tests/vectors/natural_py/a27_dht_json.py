import dht
import json
import time
from machine import Pin

sensor = dht.DHT22(Pin(14))
while True:
    try:
        sensor.measure()
        reading = {"t": round(sensor.temperature(), 1), "h": round(sensor.humidity(), 1)}
        print(json.dumps(reading["t"]), reading["h"])
    except OSError as e:
        print("sensor failed", e)
    time.sleep(2)
