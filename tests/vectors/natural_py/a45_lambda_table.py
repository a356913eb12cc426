import time
from machine import Pin

led = Pin(13, Pin.OUT)


def pulse(ms):
    led.on()
    time.sleep_ms(ms)
    led.off()
    time.sleep_ms(ms)


actions = [lambda: pulse(50), lambda: pulse(100), lambda: print("no wait"), lambda: time.sleep_ms(70)]
for action in actions:
    action()
    print("did one")
