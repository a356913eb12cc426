import time
from machine import Pin

pir = Pin(14, Pin.IN)
lamp = Pin(13, Pin.OUT)
hold_until = 0
while True:
    if pir.value():
        hold_until = time.ticks_add(time.ticks_ms(), 500)
        if not lamp.value():
            print("motion")
        lamp.on()
    elif lamp.value() and time.ticks_diff(time.ticks_ms(), hold_until) > 0:
        lamp.off()
        print("dark")
    time.sleep_ms(50)
