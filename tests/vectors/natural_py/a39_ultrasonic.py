from machine import Pin, time_pulse_us
import time

trig = Pin(12, Pin.OUT)
echo = Pin(14, Pin.IN)


def distance_cm():
    trig.value(0)
    time.sleep_us(2)
    trig.value(1)
    time.sleep_us(10)
    trig.value(0)
    us = time_pulse_us(echo, 1, 30000)
    if us < 0:
        return None
    return us / 58.2


while True:
    print("distance: {:.1f} cm".format(distance_cm()))
    time.sleep(1)
