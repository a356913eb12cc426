import time
from machine import Pin

led = Pin(13, Pin.OUT)


def guarded(n):
    try:
        led.on()
        time.sleep_ms(20)
        if n == 0:
            return "zero"
        return 10 // (n - 1)
    except ZeroDivisionError:
        return "div"
    finally:
        led.off()
        time.sleep_ms(5)


print(guarded(0), guarded(1), guarded(3))
