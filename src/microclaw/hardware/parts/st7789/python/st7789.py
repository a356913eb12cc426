"""ST7789 for programs, with the names of the drivers that people know (ST7789V 1.4: section 9.1)."""

import time

import framebuf

BLACK = 0x0000
BLUE = 0x001F
RED = 0xF800
GREEN = 0x07E0
CYAN = 0x07FF
MAGENTA = 0xF81F
YELLOW = 0xFFE0
WHITE = 0xFFFF

RGB = 0x00
BGR = 0x08

_TURNS = (0x00, 0x60, 0xC0, 0xA0)
_CHARACTER = 8


def color565(red, green=0, blue=0):
    if isinstance(red, (tuple, list)):
        red, green, blue = red[:3]
    return (red & 0xF8) << 8 | (green & 0xFC) << 3 | blue >> 3


class ST7789:
    """A panel stands in the middle of the chip's 240 x 320 pixels, and one of 240 x 240 at their begin.

    It has no fonts but the one of framebuf: `text` leaves out a font that it is given.
    """

    def __init__(
        self,
        spi,
        width,
        height,
        reset=None,
        dc=None,
        cs=None,
        backlight=None,
        xstart=-1,
        ystart=-1,
        rotation=0,
        color_order=RGB,
        inversion=True,
    ):
        self.spi = spi
        self.reset = reset
        self.dc = dc
        self.cs = cs
        self.backlight = backlight
        self.color_order = color_order
        self.inversion = inversion
        self._size = (width, height)
        self._rotation = rotation % 4
        self._open_pins()
        self._place_panel(xstart, ystart)
        self.init()

    def _open_pins(self):
        for pin in (self.reset, self.dc, self.cs, self.backlight):
            if pin is not None:
                pin.init(pin.OUT)
        if self.cs is not None:
            self.cs.value(1)

    def _place_panel(self, left, top):
        """Note where the panel is; -1 stands for its usual place."""
        width, height = self._size
        if left < 0:
            left = (240 - width) // 2
        if top < 0:
            top = (320 - height) // 2
            if width == 240 and height == 240:
                top = 0
        # In each rotation, the columns and lines of the chip before the panel.
        right = 240 - width - left
        bottom = 320 - height - top
        self._starts = ((left, top), (top, right), (right, bottom), (bottom, left))

    def init(self):
        self.hard_reset()
        self.soft_reset()
        self.sleep_mode(False)
        self.write(0x3A, b"\x55")
        self.rotation(self._rotation)
        self.inversion_mode(self.inversion)
        self.write(0x13)
        # The chip's memory has anything in it at first: it is cleared before it is seen.
        self.fill(BLACK)
        self.write(0x29)
        self.on()

    def on(self):
        if self.backlight is not None:
            self.backlight.value(1)

    def off(self):
        if self.backlight is not None:
            self.backlight.value(0)

    def hard_reset(self):
        if self.reset is None:
            return
        for level in (1, 0, 1):
            self.reset.value(level)
            time.sleep_ms(10)
        time.sleep_ms(120)

    def soft_reset(self):
        self.write(0x01)
        time.sleep_ms(150)

    def sleep_mode(self, value):
        self.write(0x10 if value else 0x11)
        time.sleep_ms(10)

    def inversion_mode(self, value):
        self.write(0x21 if value else 0x20)

    def rotation(self, rotation):
        """Turn by quarters; what is drawn from now on is turned."""
        self._rotation = rotation % 4
        self.width, self.height = self._size
        if self._rotation & 1:
            self.height, self.width = self._size
        self.xstart, self.ystart = self._starts[self._rotation]
        self.write(0x36, bytes((_TURNS[self._rotation] | self.color_order,)))

    def write(self, command=None, data=None):
        if self.cs is not None:
            self.cs.value(0)
        if command is not None:
            self.dc.value(0)
            self.spi.write(bytes((command,)))
        if data is not None:
            self.dc.value(1)
            self.spi.write(data)
        if self.cs is not None:
            self.cs.value(1)

    def set_window(self, x0, y0, x1, y1):
        self._set_range(0x2A, x0 + self.xstart, x1 + self.xstart)
        self._set_range(0x2B, y0 + self.ystart, y1 + self.ystart)
        self.write(0x2C)

    def _set_range(self, command, first, last):
        self.write(command, first.to_bytes(2, "big") + last.to_bytes(2, "big"))

    def fill(self, color):
        self.fill_rect(0, 0, self.width, self.height, color)

    def fill_rect(self, x, y, width, height, color):
        if x < 0:
            width += x
            x = 0
        if y < 0:
            height += y
            y = 0
        width = min(width, self.width - x)
        height = min(height, self.height - y)
        if width <= 0 or height <= 0:
            return
        self.set_window(x, y, x + width - 1, y + height - 1)
        count = width * height
        piece = color.to_bytes(2, "big") * min(count, 1024)
        while count >= 1024:
            self.write(None, piece)
            count -= 1024
        if count:
            self.write(None, piece[: count * 2])

    def pixel(self, x, y, color):
        self.fill_rect(x, y, 1, 1, color)

    def hline(self, x, y, length, color):
        self.fill_rect(x, y, length, 1, color)

    def vline(self, x, y, length, color):
        self.fill_rect(x, y, 1, length, color)

    def rect(self, x, y, width, height, color):
        self.hline(x, y, width, color)
        self.hline(x, y + height - 1, width, color)
        self.vline(x, y, height, color)
        self.vline(x + width - 1, y, height, color)

    def line(self, x0, y0, x1, y1, color):
        wide = abs(x1 - x0)
        high = -abs(y1 - y0)
        step_x = 1 if x0 < x1 else -1
        step_y = 1 if y0 < y1 else -1
        error = wide + high
        while True:
            self.pixel(x0, y0, color)
            if x0 == x1 and y0 == y1:
                return
            double = 2 * error
            if double >= high:
                error += high
                x0 += step_x
            if double <= wide:
                error += wide
                y0 += step_y

    def blit_buffer(self, buffer, x, y, width, height):
        """Show pixels of two bytes, the high one first."""
        self.set_window(x, y, x + width - 1, y + height - 1)
        self.write(None, buffer)

    def text(self, *arguments, **options):
        """Take (text, x, y, color, background), and before them a font."""
        if not isinstance(arguments[0], (str, bytes)):
            arguments = arguments[1:]
        self._text(*arguments, **options)

    def _text(self, text, x, y, color=WHITE, background=BLACK):
        if isinstance(text, bytes):
            text = text.decode()
        text = text[: max(0, (self.width - x) // _CHARACTER)]
        is_above = y < 0 or x < 0
        if not text or is_above or y + _CHARACTER > self.height:
            return
        width = len(text) * _CHARACTER
        buffer = bytearray(width * _CHARACTER * 2)
        picture = framebuf.FrameBuffer(buffer, width, _CHARACTER, framebuf.RGB565)
        # A frame buffer has the low byte first.
        picture.fill((background & 0xFF) << 8 | background >> 8)
        picture.text(text, 0, 0, (color & 0xFF) << 8 | color >> 8)
        self.blit_buffer(buffer, x, y, width, _CHARACTER)

    def vscrdef(self, top, lines, bottom):
        self.write(0x33, top.to_bytes(2, "big") + lines.to_bytes(2, "big") + bottom.to_bytes(2, "big"))

    def vscsad(self, first):
        self.write(0x37, first.to_bytes(2, "big"))
