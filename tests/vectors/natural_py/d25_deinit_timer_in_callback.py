from machine import Pin, Timer
import time

led = Pin(13, Pin.OUT)
n = 0


def cb(t):
    global n
    n += 1
    led.value(n % 2)
    if n == 4:
        t.deinit()
        print("stopped")


Timer(1).init(period=100, callback=cb)
while True:
    time.sleep_ms(200)
