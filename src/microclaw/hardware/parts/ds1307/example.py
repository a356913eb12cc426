# Sets the clock if it stands, and prints the time each second.
from time import sleep

import ds1307
from machine import I2C, Pin

i2c = I2C(0, scl=Pin(9), sda=Pin(8))
rtc = ds1307.DS1307(i2c)

if rtc.halt():
    print("RTC was stopped")
    rtc.datetime((2024, 2, 28, 2, 23, 59, 57, 0))
    rtc.halt(0)

while True:
    year, month, day, weekday, hour, minute, second, _ = rtc.datetime()
    print(f"{year:04d}/{month}/{day} {hour:02d}:{minute:02d}:{second:02d}")
    sleep(1)
