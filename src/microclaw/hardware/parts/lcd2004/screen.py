"""The display of characters, on I2C and on pins, opened for microclaw.screen (hardware/screens/python)."""

from gpio_lcd import GpioLcd
from i2c_lcd import I2cLcd
from machine import Pin
from microclaw.screen_buses import open_i2c
from microclaw.screen_characters import Characters


def lcd2004(sda, scl, columns=20, rows=4, address=0x27):
    return Characters(I2cLcd(open_i2c(sda, scl, 100_000), address, rows, columns))


def lcd2004_pins(rs, e, d4, d5, d6, d7, columns=20, rows=4):
    return Characters(GpioLcd(Pin(rs), Pin(e), Pin(d4), Pin(d5), Pin(d6), Pin(d7), num_lines=rows, num_columns=columns))
