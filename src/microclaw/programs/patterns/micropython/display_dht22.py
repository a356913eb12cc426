# DHT22 on a display: what it measures, each EVERY_MS.
from dht import DHT22
from machine import Pin
from microclaw import screen
from time import sleep_ms, ticks_diff, ticks_ms

DISPLAY = screen.ssd1306(sda=8, scl=9)
PIN = 4
QUANTITY = "temperature"
TWO = 0
EVERY_MS = 2000

sensor = DHT22(Pin(PIN))
while True:
    begun_ms = ticks_ms()
    try:
        sensor.measure()
    except OSError:
        DISPLAY.text("no sensor")
        print("the DHT22 does not answer")
    else:
        temperature = float(sensor.temperature())
        humidity = float(sensor.humidity())
        value = humidity if QUANTITY == "humidity" else temperature
        if TWO:
            DISPLAY.text("%.1f C" % temperature, "%.1f %%" % humidity)
        elif QUANTITY == "humidity":
            DISPLAY.number(humidity, "%", "humidity")
        else:
            DISPLAY.number(temperature, "C", "temperature")
        print("%s %.1f" % (QUANTITY, value))
    sleep_ms(EVERY_MS - ticks_diff(ticks_ms(), begun_ms))
