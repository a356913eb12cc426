"""ILI9341 for programs, with the names of the driver that people know (ILI9341 V1.11: section 8.2)."""

import time

import framebuf

_TURNS = {0: 0x80, 90: 0xE0, 180: 0x40, 270: 0x20}
_MIRRORED_TURNS = {0: 0xC0, 90: 0x60, 180: 0x00, 270: 0xA0}
_CHARACTER = 8


def color565(r, g, b):
    return (r & 0xF8) << 8 | (g & 0xFC) << 3 | b >> 3


class Display:
    """It has no fonts but the one of framebuf: `draw_text` leaves out the font that it is given."""

    def __init__(self, spi, cs, dc, rst, width=240, height=320, rotation=0, mirror=False, bgr=True, gamma=True):
        turns = _MIRRORED_TURNS if mirror else _TURNS
        if rotation not in turns:
            raise ValueError("Rotation must be 0, 90, 180 or 270.")
        self.spi = spi
        self.cs = cs
        self.dc = dc
        self.rst = rst
        self.width = width
        self.height = height
        self.rotation = turns[rotation]
        if bgr:
            self.rotation |= 0x08
        self.cs.init(self.cs.OUT, value=1)
        self.dc.init(self.dc.OUT, value=0)
        self.rst.init(self.rst.OUT, value=1)
        self.reset()
        self.write_cmd(0x01)
        time.sleep_ms(100)
        self.write_cmd(0x36, self.rotation)
        self.write_cmd(0x3A, 0x55)
        self.write_cmd(0x11)
        time.sleep_ms(100)
        # The chip's memory has anything in it at first: it is cleared before it is seen.
        self.clear()
        self.display_on()
        time.sleep_ms(100)

    def reset(self):
        self.rst.value(0)
        time.sleep_ms(50)
        self.rst.value(1)
        time.sleep_ms(50)

    def write_cmd(self, command, *arguments):
        self.dc.value(0)
        self.cs.value(0)
        self.spi.write(bytes((command,)))
        self.cs.value(1)
        if arguments:
            self.write_data(bytes(arguments))

    def write_data(self, data):
        self.dc.value(1)
        self.cs.value(0)
        self.spi.write(data)
        self.cs.value(1)

    def display_on(self):
        self.write_cmd(0x29)

    def display_off(self):
        self.write_cmd(0x28)

    def sleep(self, enable=True):
        self.write_cmd(0x10 if enable else 0x11)

    def invert(self, enable=True):
        self.write_cmd(0x21 if enable else 0x20)

    def scroll(self, y):
        self.write_cmd(0x37, y >> 8, y & 0xFF)

    def set_scroll(self, top, bottom):
        middle = self.height - top - bottom
        self.write_cmd(0x33, top >> 8, top & 0xFF, middle >> 8, middle & 0xFF, bottom >> 8, bottom & 0xFF)

    def cleanup(self):
        self.clear()
        self.display_off()
        self.spi.deinit()

    def is_off_grid(self, xmin, ymin, xmax, ymax):
        return xmin < 0 or ymin < 0 or xmax >= self.width or ymax >= self.height

    def block(self, x0, y0, x1, y1, data):
        """Show pixels of two bytes, the high one first."""
        self._set_window(x0, y0, x1, y1)
        self.write_data(data)

    def _set_window(self, x0, y0, x1, y1):
        self.write_cmd(0x2A, x0 >> 8, x0 & 0xFF, x1 >> 8, x1 & 0xFF)
        self.write_cmd(0x2B, y0 >> 8, y0 & 0xFF, y1 >> 8, y1 & 0xFF)
        self.write_cmd(0x2C)

    def clear(self, color=0, hlines=8):
        self.fill_rectangle(0, 0, self.width, self.height, color)

    def fill_rectangle(self, x, y, w, h, color):
        if w < 1 or h < 1 or self.is_off_grid(x, y, x + w - 1, y + h - 1):
            return
        self._set_window(x, y, x + w - 1, y + h - 1)
        count = w * h
        piece = color.to_bytes(2, "big") * min(count, 1024)
        while count >= 1024:
            self.write_data(piece)
            count -= 1024
        if count:
            self.write_data(piece[: count * 2])

    def fill_hrect(self, x, y, w, h, color):
        self.fill_rectangle(x, y, w, h, color)

    def fill_vrect(self, x, y, w, h, color):
        self.fill_rectangle(x, y, w, h, color)

    def draw_pixel(self, x, y, color):
        self.fill_rectangle(x, y, 1, 1, color)

    def draw_hline(self, x, y, w, color):
        self.fill_rectangle(x, y, w, 1, color)

    def draw_vline(self, x, y, h, color):
        self.fill_rectangle(x, y, 1, h, color)

    def draw_rectangle(self, x, y, w, h, color):
        self.draw_hline(x, y, w, color)
        self.draw_hline(x, y + h - 1, w, color)
        self.draw_vline(x, y, h, color)
        self.draw_vline(x + w - 1, y, h, color)

    def draw_line(self, x1, y1, x2, y2, color):
        wide = abs(x2 - x1)
        high = -abs(y2 - y1)
        step_x = 1 if x1 < x2 else -1
        step_y = 1 if y1 < y2 else -1
        error = wide + high
        while True:
            self.draw_pixel(x1, y1, color)
            if x1 == x2 and y1 == y2:
                return
            double = 2 * error
            if double >= high:
                error += high
                x1 += step_x
            if double <= wide:
                error += wide
                y1 += step_y

    def draw_lines(self, coords, color):
        for number in range(len(coords) - 1):
            x1, y1 = coords[number]
            x2, y2 = coords[number + 1]
            self.draw_line(x1, y1, x2, y2, color)

    def draw_circle(self, x0, y0, r, color):
        for x, y in self._arc(r):
            for left, top in ((x, y), (y, x)):
                self.draw_pixel(x0 + left, y0 + top, color)
                self.draw_pixel(x0 - left, y0 + top, color)
                self.draw_pixel(x0 + left, y0 - top, color)
                self.draw_pixel(x0 - left, y0 - top, color)

    def fill_circle(self, x0, y0, r, color):
        for x, y in self._arc(r):
            self.draw_vline(x0 + x, y0 - y, 2 * y + 1, color)
            self.draw_vline(x0 - x, y0 - y, 2 * y + 1, color)
            self.draw_vline(x0 + y, y0 - x, 2 * x + 1, color)
            self.draw_vline(x0 - y, y0 - x, 2 * x + 1, color)

    def _arc(self, r):
        """Yield the points of an eighth of a circle."""
        x = 0
        y = r
        error = 1 - r
        while x <= y:
            yield x, y
            if error >= 0:
                y -= 1
                error -= 2 * y
            x += 1
            error += 2 * x + 1

    def draw_sprite(self, buf, x, y, w, h):
        if not self.is_off_grid(x, y, x + w - 1, y + h - 1):
            self.block(x, y, x + w - 1, y + h - 1, buf)

    def draw_text(self, x, y, text, font, color, background=0, landscape=False, rotate_180=False, spacing=1):
        if landscape or rotate_180:
            raise ValueError("this driver draws text upright: turn the display with rotation")
        self.draw_text8x8(x, y, text, color, background)

    def draw_text8x8(self, x, y, text, color, background=0, rotate=0):
        if rotate:
            raise ValueError("this driver draws text upright: turn the display with rotation")
        text = text[: max(0, (self.width - x) // _CHARACTER)]
        if not text or self.is_off_grid(x, y, x, y + _CHARACTER - 1):
            return
        w = len(text) * _CHARACTER
        buf = bytearray(w * _CHARACTER * 2)
        picture = framebuf.FrameBuffer(buf, w, _CHARACTER, framebuf.RGB565)
        # A frame buffer has the low byte first.
        picture.fill((background & 0xFF) << 8 | background >> 8)
        picture.text(text, 0, 0, (color & 0xFF) << 8 | color >> 8)
        self.block(x, y, x + w - 1, y + _CHARACTER - 1, buf)
