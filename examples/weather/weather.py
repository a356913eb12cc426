import time

import requests
from machine import Pin
from microclaw import screen

URL = "http://api.example.org/weather?city=oslo"
EVERY_S = 10

frost = Pin(2, Pin.OUT)
display = screen.ssd1306(sda=8, scl=9)


def show(weather):
    temperature = weather["temperature"]
    print("outside: %.1f °C" % temperature)
    display.number(temperature, "°C", weather["city"])
    frost.value(temperature < 0)


while True:
    try:
        response = requests.get(URL, timeout=10)
        if response.status_code == 200:
            show(response.json())
        else:
            print("no weather: the server says", response.status_code)
        response.close()
    except OSError as error:
        print("no weather:", error)
    time.sleep(EVERY_S)
