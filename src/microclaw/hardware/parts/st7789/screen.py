"""The color display on SPI, opened for microclaw.screen (hardware/screens/python)."""

from machine import Pin
from microclaw.screen_buses import open_spi, optional_pin
from microclaw.screen_pixels import Colors
from st7789 import ST7789


def st7789(sck, mosi, dc, cs=None, rst=None, bl=None, width=240, height=240):
    driver = ST7789(
        open_spi(sck, mosi, 40_000_000), width, height, optional_pin(rst), Pin(dc), optional_pin(cs), optional_pin(bl)
    )

    def further(data):
        driver.write(None, data)

    return Colors(driver.blit_buffer, further, width, height)
