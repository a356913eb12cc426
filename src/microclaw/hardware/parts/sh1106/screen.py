"""The OLED on I2C, opened for microclaw.screen (hardware/screens/python)."""

from microclaw.screen_buses import open_i2c
from microclaw.screen_pixels import PagedOled
from sh1106 import SH1106_I2C


def sh1106(sda, scl, width=128, height=64, address=0x3C):
    driver = SH1106_I2C(width, height, open_i2c(sda, scl, 400_000), None, address)
    return PagedOled(driver, driver.renderbuf)
