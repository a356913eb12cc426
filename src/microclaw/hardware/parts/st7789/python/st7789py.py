"""ST7789 under the other name that people import it by."""

import st7789

BLACK = 0x0000
BLUE = 0x001F
RED = 0xF800
GREEN = 0x07E0
CYAN = 0x07FF
MAGENTA = 0xF81F
YELLOW = 0xFFE0
WHITE = 0xFFFF


def color565(red, green=0, blue=0):
    return st7789.color565(red, green, blue)


class ST7789(st7789.ST7789):
    pass
