"""The driver of i2c_lcd.py under another name that people know."""

from i2c_lcd import I2cLcd as I2cDisplay


class I2cLcd(I2cDisplay):
    pass
