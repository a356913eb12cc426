from machine import Pin
import time

btn = Pin(14, Pin.IN, Pin.PULL_UP)
led = Pin(12, Pin.OUT)


def wait_press():
    while btn.value():
        pass
    time.sleep_ms(20)
    return btn.value() == 0


def wait_release():
    while not btn.value():
        time.sleep_ms(10)


n = 0
while True:
    if wait_press():
        n += 1
        led.value(n % 2)
        print("press", n)
        wait_release()
