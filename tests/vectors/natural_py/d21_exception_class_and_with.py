import time
from machine import Pin

led = Pin(13, Pin.OUT)


class Lit:
    def __enter__(self):
        led.on()
        return self

    def __exit__(self, *exc):
        led.off()
        return False


with Lit():
    time.sleep_ms(50)
try:
    with Lit() as lit:
        time.sleep_ms(20)
        raise KeyError("k")
except KeyError as e:
    print("key", e)
