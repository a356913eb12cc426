"""The chain of matrices or digits, opened for microclaw.screen (hardware/screens/python)."""

from machine import Pin
from max7219 import Matrix8x8
from microclaw.screen_buses import open_spi
from microclaw.screen_characters import ChainDigits
from microclaw.screen_pixels import Matrix


def max7219(sck, mosi, cs, count=1, digits=0, mirrored=0):
    driver = Matrix8x8(open_spi(sck, mosi, 10_000_000), Pin(cs), count)
    if digits:
        return ChainDigits(driver, digits)
    return Matrix(driver, mirrored)
