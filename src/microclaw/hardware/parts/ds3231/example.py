# Prints the time and the temperature, and rings at half past seven.
from time import sleep

import urtc
from machine import I2C, Pin

i2c = I2C(0, scl=Pin(9), sda=Pin(8))
rtc = urtc.DS3231(i2c)
bell = Pin(5, Pin.OUT)

if rtc.lost_power():
    rtc.datetime(urtc.datetime_tuple(2025, 6, 1, 7, 12, 0, 0, 0))
rtc.alarm_time(urtc.datetime_tuple(hour=7, minute=30, second=0))
rtc.alarm(0)

while True:
    now = rtc.datetime()
    print(f"{now.year}/{now.month:02d}/{now.day:02d} {now.hour:02d}:{now.minute:02d}:{now.second:02d}")
    print(f"Temperature: {rtc.get_temperature():.2f} C")
    if rtc.alarm():
        rtc.alarm(0)
        print("Alarm!")
        bell.value(1)
    sleep(1)
