from machine import Pin
import time

LED_PIN = 12
state = 0
count = 0


def setup():
    global led
    led = Pin(LED_PIN, Pin.OUT)
    print("setup done")


def loop():
    global state, count
    state = 1 - state
    led.value(state)
    count += 1
    if count % 5 == 0:
        print("count:", count)
    time.sleep(0.2)


setup()
while True:
    loop()
