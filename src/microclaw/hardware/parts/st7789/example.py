# Counts the seconds on a color display of 240 x 240 pixels.
import time

import st7789
from machine import SPI, Pin

spi = SPI(1, baudrate=40_000_000, sck=Pin(12), mosi=Pin(11))
tft = st7789.ST7789(
    spi, 240, 240, reset=Pin(4, Pin.OUT), dc=Pin(5, Pin.OUT), cs=Pin(10, Pin.OUT), backlight=Pin(6, Pin.OUT)
)
tft.init()
tft.fill(st7789.BLUE)
tft.text("Hello", 8, 8, st7789.WHITE, st7789.BLUE)
tft.rect(4, 20, 232, 24, st7789.YELLOW)
print("display ready")

seconds = 0
while True:
    tft.text("count " + str(seconds), 8, 28, st7789.WHITE, st7789.BLUE)
    print("count", seconds)
    seconds += 1
    time.sleep(1)
