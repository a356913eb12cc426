# Counts the seconds on the display.
from time import sleep

import sh1106
from machine import I2C, Pin

i2c = I2C(0, scl=Pin(9), sda=Pin(8), freq=400_000)
oled = sh1106.SH1106_I2C(128, 64, i2c, None, 0x3C)
oled.poweron()
oled.text("Hello", 0, 0, 1)
oled.show()
print("display ready")

seconds = 0
while True:
    oled.fill_rect(0, 20, 128, 8, 0)
    oled.text("count " + str(seconds), 0, 20, 1)
    oled.show()
    print("count", seconds)
    seconds += 1
    sleep(1)
