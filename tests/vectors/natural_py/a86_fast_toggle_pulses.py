from machine import Pin
import time

p = Pin(13, Pin.OUT)


def send(bits):
    for b in bits:
        p.value(1)
        time.sleep_us(500 if b == "1" else 250)
        p.value(0)
        time.sleep_us(250)


send("1011")
time.sleep_ms(50)
