import time
from machine import Pin

led = Pin(13, Pin.OUT)


def outer(n):
    def inner(ms):
        led.on()
        time.sleep_ms(ms)
        led.off()
        return ms

    def again(k):
        return inner(k) + inner(k)

    return sum([again(i) for i in range(1, n)])


print(outer(4))
