import time
from machine import Pin


def blink(pin, times, period_ms=200):
    for _ in range(times):
        pin.value(1)
        time.sleep_ms(period_ms // 2)
        pin.value(0)
        time.sleep_ms(period_ms // 2)


def main():
    led = Pin(13, Pin.OUT)
    while True:
        blink(led, 3)
        blink(led, 1, period_ms=600)


if __name__ == "__main__":
    main()
