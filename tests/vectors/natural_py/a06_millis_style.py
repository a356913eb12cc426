from machine import Pin
import time

led1 = Pin(12, Pin.OUT)
led2 = Pin(13, Pin.OUT)
last1 = last2 = time.ticks_ms()

while True:
    now = time.ticks_ms()
    if time.ticks_diff(now, last1) >= 250:
        last1 = now
        led1.value(not led1.value())
    if time.ticks_diff(now, last2) >= 400:
        last2 = now
        led2.value(not led2.value())
    time.sleep_ms(5)
