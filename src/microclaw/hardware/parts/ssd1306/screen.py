"""The OLED on I2C, opened for microclaw.screen (hardware/screens/python)."""

from microclaw.screen_buses import open_i2c
from microclaw.screen_pixels import Oled
from ssd1306 import SSD1306_I2C


def ssd1306(sda, scl, width=128, height=64, address=0x3C):
    driver = SSD1306_I2C(width, height, open_i2c(sda, scl, 400_000), address)
    return Oled(driver, driver.buffer)
