"""The driver of gpio_lcd.py under another name that people know."""

import gpio_lcd


class GpioLcd(gpio_lcd.GpioLcd):
    pass
