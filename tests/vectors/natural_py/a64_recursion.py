import time
from machine import Pin

led = Pin(13, Pin.OUT)


def countdown(n):
    if n == 0:
        print("liftoff")
        return 0
    led.value(n & 1)
    time.sleep_ms(50)
    return 1 + countdown(n - 1)


print("took", countdown(6))


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


print(fib(12))
