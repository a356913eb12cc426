"""The color display on SPI, opened for microclaw.screen (hardware/screens/python)."""

from ili9341 import Display
from machine import Pin
from microclaw.screen_buses import open_spi, optional_pin
from microclaw.screen_pixels import Colors


def ili9341(sck, mosi, dc, cs=None, rst=None, bl=None):
    optional_pin(bl).init(Pin.OUT, value=1)
    driver = Display(open_spi(sck, mosi, 40_000_000), optional_pin(cs), Pin(dc), optional_pin(rst))

    def show(data, x, y, width, height):
        driver.block(x, y, x + width - 1, y + height - 1, data)

    return Colors(show, driver.write_data, 240, 320)
