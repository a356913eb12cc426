"""What drivers of character displays have in common, with the names of the driver that people know (HD44780U).

A subclass has `hal_write_init_nibble`, `hal_write_command`, `hal_write_data` and, if it can switch the light,
`hal_backlight_on` and `_off`.
"""

from time import sleep_ms, sleep_us


class LcdApi:
    LCD_CLR = 0x01
    LCD_HOME = 0x02
    LCD_ENTRY_MODE = 0x04
    LCD_ENTRY_INC = 0x02
    LCD_ENTRY_SHIFT = 0x01
    LCD_ON_CTRL = 0x08
    LCD_ON_DISPLAY = 0x04
    LCD_ON_CURSOR = 0x02
    LCD_ON_BLINK = 0x01
    LCD_MOVE = 0x10
    LCD_MOVE_DISP = 0x08
    LCD_MOVE_RIGHT = 0x04
    LCD_FUNCTION = 0x20
    LCD_FUNCTION_8BIT = 0x10
    LCD_FUNCTION_2LINES = 0x08
    LCD_FUNCTION_10DOTS = 0x04
    LCD_FUNCTION_RESET = 0x30
    LCD_CGRAM = 0x40
    LCD_DDRAM = 0x80

    def hal_reset(self):
        """Say three times that 8 bits come, which the chip understands in every state (figures 23 and 24)."""
        sleep_ms(50)
        self.hal_write_init_nibble(self.LCD_FUNCTION_RESET)
        sleep_ms(5)
        self.hal_write_init_nibble(self.LCD_FUNCTION_RESET)
        sleep_ms(1)
        self.hal_write_init_nibble(self.LCD_FUNCTION_RESET)
        sleep_ms(1)

    def __init__(self, num_lines, num_columns):
        self.num_lines = min(num_lines, 4)
        self.num_columns = min(num_columns, 40)
        self.cursor_x = 0
        self.cursor_y = 0
        self.implied_newline = False
        self.backlight = True
        self.display_off()
        self.backlight_on()
        self.clear()
        self.hal_write_command(self.LCD_ENTRY_MODE | self.LCD_ENTRY_INC)
        self.hide_cursor()
        self.display_on()

    def clear(self):
        self.hal_write_command(self.LCD_CLR)
        self.hal_write_command(self.LCD_HOME)
        self.cursor_x = 0
        self.cursor_y = 0

    def show_cursor(self):
        self.hal_write_command(self.LCD_ON_CTRL | self.LCD_ON_DISPLAY | self.LCD_ON_CURSOR)

    def hide_cursor(self):
        self.hal_write_command(self.LCD_ON_CTRL | self.LCD_ON_DISPLAY)

    def blink_cursor_on(self):
        self.hal_write_command(self.LCD_ON_CTRL | self.LCD_ON_DISPLAY | self.LCD_ON_CURSOR | self.LCD_ON_BLINK)

    def blink_cursor_off(self):
        self.show_cursor()

    def display_on(self):
        self.hide_cursor()

    def display_off(self):
        self.hal_write_command(self.LCD_ON_CTRL)

    def backlight_on(self):
        self.backlight = True
        self.hal_backlight_on()

    def backlight_off(self):
        self.backlight = False
        self.hal_backlight_off()

    def move_to(self, cursor_x, cursor_y):
        self.cursor_x = cursor_x
        self.cursor_y = cursor_y
        address = cursor_x & 0x3F
        if cursor_y & 1:
            address += 0x40
        if cursor_y & 2:
            # The third and fourth line are behind the first and second one.
            address += self.num_columns
        self.hal_write_command(self.LCD_DDRAM | address)

    def putchar(self, char):
        is_newline = char == "\n"
        if not is_newline:
            self.hal_write_data(ord(char))
            self.cursor_x += 1
        elif not self.implied_newline:
            self.cursor_x = self.num_columns
        self.implied_newline = False
        if self.cursor_x >= self.num_columns:
            self.implied_newline = not is_newline
            self.move_to(0, (self.cursor_y + 1) % self.num_lines)

    def putstr(self, string):
        for char in string:
            self.putchar(char)

    def custom_char(self, location, charmap):
        """Define one of the characters chr(0) to chr(7) by its eight rows, each of five bits."""
        self.hal_write_command(self.LCD_CGRAM | (location & 7) << 3)
        for row in range(8):
            self.hal_write_data(charmap[row])
        self.move_to(self.cursor_x, self.cursor_y)

    def hal_backlight_on(self):
        pass

    def hal_backlight_off(self):
        pass

    def hal_write_command(self, cmd):
        raise NotImplementedError

    def hal_write_data(self, data):
        raise NotImplementedError

    def hal_sleep_us(self, usecs):
        sleep_us(usecs)
