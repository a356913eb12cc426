"""The pins and buses of the displays of microclaw.screen."""

from machine import I2C, SPI, Pin


def open_i2c(sda, scl, freq):
    return I2C(0, scl=Pin(scl), sda=Pin(sda), freq=freq)


def open_spi(sck, mosi, baudrate):
    return SPI(1, baudrate=baudrate, sck=Pin(sck), mosi=Pin(mosi))


def optional_pin(number):
    if number is None:
        return _NoPin()
    return Pin(number)


class _NoPin:
    """Stands for a pin that is not wired."""

    OUT = 0

    def init(self, mode, value=0):
        pass

    def value(self, level):
        pass

    def __call__(self, level):
        pass
