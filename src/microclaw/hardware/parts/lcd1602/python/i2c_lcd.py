"""A character display behind a PCF8574 on I2C, with the names of the driver that people know."""

from time import sleep_ms

from lcd_api import LcdApi

DEFAULT_I2C_ADDR = 0x27
MASK_RS = 0x01
MASK_RW = 0x02
MASK_E = 0x04
SHIFT_BACKLIGHT = 3
SHIFT_DATA = 4


class I2cLcd(LcdApi):
    def __init__(self, i2c, i2c_addr, num_lines, num_columns):
        self.i2c = i2c
        self.i2c_addr = i2c_addr
        self.i2c.writeto(i2c_addr, b"\0")
        self.hal_reset()
        self.hal_write_init_nibble(self.LCD_FUNCTION)
        sleep_ms(1)
        cmd = self.LCD_FUNCTION
        if num_lines > 1:
            cmd |= self.LCD_FUNCTION_2LINES
        self.backlight = True
        self.hal_write_command(cmd)
        LcdApi.__init__(self, num_lines, num_columns)

    def hal_write_init_nibble(self, nibble):
        byte = nibble >> 4 << SHIFT_DATA
        self.i2c.writeto(self.i2c_addr, bytes((byte, byte | MASK_E, byte)))

    def hal_backlight_on(self):
        self.i2c.writeto(self.i2c_addr, bytes((1 << SHIFT_BACKLIGHT,)))

    def hal_backlight_off(self):
        self.i2c.writeto(self.i2c_addr, b"\0")

    def hal_write_command(self, cmd):
        self._write(cmd, 0)
        if cmd <= 3:
            sleep_ms(5)

    def hal_write_data(self, data):
        self._write(data, MASK_RS)

    def _write(self, value, mask):
        mask |= int(self.backlight) << SHIFT_BACKLIGHT
        high = mask | (value & 0xF0)
        low = mask | (value & 0x0F) << SHIFT_DATA
        # RS before E, and each half with the fall of E.
        self.i2c.writeto(self.i2c_addr, bytes((high, high | MASK_E, high, low | MASK_E, low)))
