"""The driver of i2c_lcd.py under another name that people know."""

import i2c_lcd


class I2cLcd(i2c_lcd.I2cLcd):
    pass
