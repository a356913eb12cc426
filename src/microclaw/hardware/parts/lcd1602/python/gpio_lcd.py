"""A character display on pins, with transfers of 4 or 8 bits, and the names of the driver that people know."""

from time import sleep_ms, sleep_us

from lcd_api import LcdApi
from machine import Pin


class GpioLcd(LcdApi):
    def __init__(
        self,
        rs_pin,
        enable_pin,
        d0_pin=None,
        d1_pin=None,
        d2_pin=None,
        d3_pin=None,
        d4_pin=None,
        d5_pin=None,
        d6_pin=None,
        d7_pin=None,
        rw_pin=None,
        backlight_pin=None,
        num_lines=2,
        num_columns=16,
    ):
        self.rs_pin = rs_pin
        self.enable_pin = enable_pin
        self.rw_pin = rw_pin
        self.backlight_pin = backlight_pin
        self._low_pins = ()
        self._high_pins = (d4_pin, d5_pin, d6_pin, d7_pin)
        if d4_pin is None:
            # Only the four pins of 4 bits were given, at the first places.
            self._high_pins = (d0_pin, d1_pin, d2_pin, d3_pin)
        elif d0_pin is not None:
            self._low_pins = (d0_pin, d1_pin, d2_pin, d3_pin)
        for pin in (rs_pin, enable_pin, rw_pin, backlight_pin) + self._low_pins + self._high_pins:
            if pin is not None:
                pin.init(Pin.OUT)
                pin.value(0)
        self._start(num_lines)
        LcdApi.__init__(self, num_lines, num_columns)

    def _start(self, num_lines):
        self.hal_reset()
        cmd = self.LCD_FUNCTION
        if self._low_pins:
            cmd |= self.LCD_FUNCTION_8BIT
        else:
            self.hal_write_init_nibble(cmd)
            sleep_ms(1)
        if num_lines > 1:
            cmd |= self.LCD_FUNCTION_2LINES
        self.hal_write_command(cmd)

    def hal_pulse_enable(self):
        self.enable_pin.value(0)
        sleep_us(1)
        self.enable_pin.value(1)
        sleep_us(1)
        self.enable_pin.value(0)
        sleep_us(100)

    def hal_write_init_nibble(self, nibble):
        self.hal_write_4bits(nibble >> 4)

    def hal_backlight_on(self):
        if self.backlight_pin is not None:
            self.backlight_pin.value(1)

    def hal_backlight_off(self):
        if self.backlight_pin is not None:
            self.backlight_pin.value(0)

    def hal_write_command(self, cmd):
        self.rs_pin.value(0)
        self.hal_write_8bits(cmd)
        if cmd <= 3:
            sleep_ms(5)

    def hal_write_data(self, data):
        self.rs_pin.value(1)
        self.hal_write_8bits(data)

    def hal_write_8bits(self, value):
        if self._low_pins:
            self._put(self._low_pins, value)
        else:
            self.hal_write_4bits(value >> 4)
            value <<= 4
        self.hal_write_4bits(value >> 4)

    def hal_write_4bits(self, nibble):
        self._put(self._high_pins, nibble)
        self.hal_pulse_enable()

    def _put(self, pins, nibble):
        for pin in pins:
            pin.value(nibble & 1)
            nibble >>= 1
