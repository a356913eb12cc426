import time
from machine import Pin

led = Pin(13, Pin.OUT)
n = 0
while True:
    try:
        n += 1
        led.value(n % 2)
        if n % 3 == 0:
            raise OSError(n)
        time.sleep_ms(100)
    except:
        print("oops", n)
        time.sleep_ms(50)
