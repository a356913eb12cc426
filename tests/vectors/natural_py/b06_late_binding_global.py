import time
from machine import Pin

handler = None


def set_handler(f):
    global handler
    handler = f


def blink():
    led.on()
    time.sleep_ms(30)
    led.off()


set_handler(blink)
led = Pin(13, Pin.OUT)
if handler:
    handler()
handler = lambda: print("lambda")
handler()
