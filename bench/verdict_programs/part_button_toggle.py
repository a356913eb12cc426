from machine import Pin
import time

button = Pin(4, Pin.IN, Pin.PULL_UP)
led = Pin(5, Pin.OUT)
led.value(0)
last = 1
while True:
    now = button.value()
    if last == 1 and now == 0:
        led.value(not led.value())
        time.sleep_ms(50)
    last = now
    time.sleep_ms(5)
