# Counts on a display of four digits, and shows a time with its colon.
from time import sleep

import tm1637
from machine import Pin

tm = tm1637.TM1637(clk=Pin(4), dio=Pin(5))
tm.numbers(12, 34)
sleep(1)
tm.show("cool")
sleep(1)
tm.temperature(-5)
sleep(1)
tm.brightness(2)

count = 40
while True:
    tm.number(count)
    print("count", count)
    count += 1
    sleep(1)
