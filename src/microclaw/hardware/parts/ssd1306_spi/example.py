# Counts the seconds on a display on SPI.
from time import sleep

import ssd1306
from machine import SPI, Pin

spi = SPI(1, sck=Pin(12), mosi=Pin(11))
oled = ssd1306.SSD1306_SPI(128, 64, spi, Pin(5), Pin(4), Pin(10))
oled.text("Hello", 0, 0)
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
