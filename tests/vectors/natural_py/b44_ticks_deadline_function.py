import time
from machine import Pin

pin = Pin(14, Pin.IN)


def wait_for(level, timeout_ms):
    deadline = time.ticks_add(time.ticks_ms(), timeout_ms)
    while time.ticks_diff(deadline, time.ticks_ms()) > 0:
        if pin.value() == level:
            return True
    return False


print(wait_for(1, 300), wait_for(1, 1000))
