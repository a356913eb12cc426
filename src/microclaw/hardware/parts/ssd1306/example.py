# Counts the seconds on the display.
from time import sleep

import ssd1306
from machine import I2C, Pin

i2c = I2C(0, scl=Pin(9), sda=Pin(8), freq=400_000)
oled = ssd1306.SSD1306_I2C(128, 64, i2c)
oled.text("Hello", 0, 0)
oled.rect(0, 12, 128, 20, 1)
oled.show()
print("display ready")

seconds = 0
while True:
    oled.fill_rect(4, 18, 120, 8, 0)
    oled.text("count " + str(seconds), 4, 18)
    oled.show()
    print("count", seconds)
    seconds += 1
    sleep(1)
