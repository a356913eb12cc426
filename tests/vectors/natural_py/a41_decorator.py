from machine import Pin
import time

led = Pin(13, Pin.OUT)


def logged(f):
    def wrapper(*args, **kwargs):
        print("call", args)
        result = f(*args, **kwargs)
        print("result", result)
        return result

    return wrapper


@logged
def flash(n):
    for _ in range(n):
        led.on()
        time.sleep_ms(50)
        led.off()
        time.sleep_ms(50)
    return n * 2


@logged
def add(a, b):
    return a + b


flash(2)
add(1, 2)
flash(n=1) if add(2, 2) == 4 else None
