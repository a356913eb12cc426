"""The OLED on SPI, opened for microclaw.screen (hardware/screens/python)."""

from machine import Pin
from microclaw.screen_buses import open_spi, optional_pin
from microclaw.screen_pixels import Oled
from ssd1306 import SSD1306_SPI


def ssd1306_spi(sck, mosi, dc, cs=None, rst=None, width=128, height=64):
    driver = SSD1306_SPI(width, height, open_spi(sck, mosi, 10_000_000), Pin(dc), optional_pin(rst), optional_pin(cs))
    return Oled(driver, driver.buffer)
