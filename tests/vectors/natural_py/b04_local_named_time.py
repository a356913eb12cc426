import time
from machine import Pin

led = Pin(13, Pin.OUT)


def run(time_ms):
    sleep = 3
    led.on()
    time.sleep_ms(time_ms)
    led.off()
    return sleep


print(run(50))
