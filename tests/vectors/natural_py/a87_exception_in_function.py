import time
from machine import Pin

led = Pin(13, Pin.OUT)


class TooHot(Exception):
    def __init__(self, t):
        super().__init__("too hot: %d" % t)
        self.t = t


def check(t):
    time.sleep_ms(20)
    if t > 50:
        raise TooHot(t)
    return t


for t in (20, 60, 30):
    try:
        print("ok", check(t))
    except TooHot as e:
        led.on()
        print(e, e.t)
    except:
        print("other")
    finally:
        time.sleep_ms(10)
        led.off()
