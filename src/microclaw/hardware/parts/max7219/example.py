# Shows a word on four LED matrices, and then counts.
from time import sleep

import max7219
from machine import SPI, Pin

spi = SPI(1, baudrate=10_000_000, sck=Pin(4), mosi=Pin(5))
display = max7219.Matrix8x8(spi, Pin(6), 4)
display.text("Cool", 0, 0, 1)
display.show()
sleep(2)
display.brightness(5)

count = 40
while True:
    display.fill(0)
    display.text(str(count), 0, 0, 1)
    display.show()
    print("count", count)
    count += 1
    sleep(1)
