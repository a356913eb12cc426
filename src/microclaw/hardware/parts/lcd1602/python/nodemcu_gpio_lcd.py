"""The driver of gpio_lcd.py under another name that people know."""

from gpio_lcd import GpioLcd as PinDisplay


class GpioLcd(PinDisplay):
    pass
