# Counts the seconds on a color display of 240 x 320 pixels.
from time import sleep

from ili9341 import Display, color565
from machine import SPI, Pin

spi = SPI(1, baudrate=40_000_000, sck=Pin(12), mosi=Pin(11))
display = Display(spi, dc=Pin(5), cs=Pin(10), rst=Pin(4))
display.clear(color565(0, 0, 128))
display.draw_text8x8(8, 8, "Hello", color565(255, 255, 255), color565(0, 0, 128))
display.fill_rectangle(8, 60, 100, 20, color565(255, 0, 0))
display.draw_circle(120, 160, 40, color565(0, 255, 0))
print("display ready")

seconds = 0
while True:
    display.draw_text8x8(8, 28, "count " + str(seconds), color565(255, 255, 0), color565(0, 0, 128))
    print("count", seconds)
    seconds += 1
    sleep(1)
