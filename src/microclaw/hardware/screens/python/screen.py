"""microclaw.screen for programs: text, numbers, bars, icons and graphs, in layouts that fit the display's size.

A display is opened by the name of its part with its roles and attributes (part.toml); `_pins` is for one without I2C.
"""

from time import ticks_diff, ticks_ms

from gpio_lcd import GpioLcd
from i2c_lcd import I2cLcd
from ili9341 import Display
from machine import I2C, SPI, Pin
from max7219 import Matrix8x8
from microclaw.screen_characters import ChainDigits, Characters, Digits
from microclaw.screen_pixels import Colors, Matrix, Oled, PagedOled
from sh1106 import SH1106_I2C
from ssd1306 import SSD1306_I2C, SSD1306_SPI
from st7789 import ST7789
from tm1637 import TM1637

_COLORS_HZ = 40_000_000
_MINUTE_MS = 60_000
_HOUR = 60


def ssd1306(sda, scl, width=128, height=64, address=0x3C):
    driver = SSD1306_I2C(width, height, _i2c(sda, scl, 400_000), address)
    return Oled(driver, driver.buffer)


def ssd1306_spi(sck, mosi, dc, cs=None, rst=None, width=128, height=64):
    driver = SSD1306_SPI(width, height, _spi(sck, mosi), Pin(dc), _pin(rst), _pin(cs))
    return Oled(driver, driver.buffer)


def sh1106(sda, scl, width=128, height=64, address=0x3C):
    driver = SH1106_I2C(width, height, _i2c(sda, scl, 400_000), None, address)
    return PagedOled(driver, driver.renderbuf)


def st7789(sck, mosi, dc, cs=None, rst=None, bl=None, width=240, height=240):
    driver = ST7789(_spi(sck, mosi, _COLORS_HZ), width, height, _pin(rst), Pin(dc), _pin(cs), _pin(bl))

    def further(data):
        driver.write(None, data)

    return Colors(driver.blit_buffer, further, width, height)


def ili9341(sck, mosi, dc, cs=None, rst=None, bl=None):
    _pin(bl).init(Pin.OUT, value=1)
    driver = Display(_spi(sck, mosi, _COLORS_HZ), _pin(cs), Pin(dc), _pin(rst))

    def show(data, x, y, width, height):
        driver.block(x, y, x + width - 1, y + height - 1, data)

    return Colors(show, driver.write_data, 240, 320)


def lcd1602(sda, scl, columns=16, rows=2, address=0x27):
    return Characters(I2cLcd(_i2c(sda, scl, 100_000), address, rows, columns))


def lcd1602_pins(rs, e, d4, d5, d6, d7, columns=16, rows=2):
    return Characters(GpioLcd(Pin(rs), Pin(e), Pin(d4), Pin(d5), Pin(d6), Pin(d7), num_lines=rows, num_columns=columns))


def lcd2004(sda, scl, columns=20, rows=4, address=0x27):
    return Characters(I2cLcd(_i2c(sda, scl, 100_000), address, rows, columns))


def lcd2004_pins(rs, e, d4, d5, d6, d7, columns=20, rows=4):
    return Characters(GpioLcd(Pin(rs), Pin(e), Pin(d4), Pin(d5), Pin(d6), Pin(d7), num_lines=rows, num_columns=columns))


def tm1637(clk, dio, digits=4, colon=1):
    return Digits(TM1637(Pin(clk), Pin(dio)), digits, not colon)


def max7219(sck, mosi, cs, count=1, digits=0, mirrored=0):
    driver = Matrix8x8(_spi(sck, mosi), Pin(cs), count)
    if digits:
        return ChainDigits(driver, digits)
    return Matrix(driver, mirrored)


class Hour:
    """The values of the last hour in `values`, one for each minute, the newest last."""

    def __init__(self):
        self.values = []
        self._minute_ms = 0

    def add(self, value):
        """Take a value: within a minute the newest one counts, and a minute without any repeats the one before."""
        now_ms = ticks_ms()
        values = self.values
        if not values:
            values.append(value)
            self._minute_ms = now_ms
        minutes = ticks_diff(now_ms, self._minute_ms) // _MINUTE_MS
        self._minute_ms += minutes * _MINUTE_MS
        values += [values[-1]] * min(minutes, _HOUR)
        values[-1] = value
        self.values = values[-_HOUR:]


class _NoPin:
    """Stands for a pin that is not wired."""

    OUT = 0

    def init(self, mode, value=0):
        pass

    def value(self, level):
        pass

    def __call__(self, level):
        pass


def _pin(number):
    if number is None:
        return _NoPin()
    return Pin(number)


def _i2c(sda, scl, freq):
    return I2C(0, scl=Pin(scl), sda=Pin(sda), freq=freq)


def _spi(sck, mosi, baudrate=10_000_000):
    return SPI(1, baudrate=baudrate, sck=Pin(sck), mosi=Pin(mosi))
