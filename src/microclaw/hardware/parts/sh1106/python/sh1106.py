"""SH1106 for programs, with the names of the driver that people know (SH1106 V2.2: commands 1 to 27).

A picture that is turned by 90 or 270 degrees is drawn upright in rows of bytes. A byte of it is one of the chip, but in
another order: show() copies each column of bytes into a page.
"""

from time import sleep_us

import framebuf


class SH1106(framebuf.FrameBuffer):
    def __init__(self, width, height, external_vcc, rotate=0):
        self.width = width
        self.height = height
        self.external_vcc = external_vcc
        self.flip_en = rotate == 180 or rotate == 270
        self.rotate90 = rotate == 90 or rotate == 270
        self.pages = height // 8
        self.bufsize = self.pages * width
        self.renderbuf = bytearray(self.bufsize)
        # The pages of which show() sends what was drawn: a bit for each.
        self.pages_to_update = 0
        self.displaybuf = self.renderbuf
        if self.rotate90:
            self.displaybuf = bytearray(self.bufsize)
            self._columns = []
            self._page_rows = []
            for page in range(self.pages):
                column = memoryview(self.renderbuf)[page:]
                row = memoryview(self.displaybuf)[page * width :]
                self._columns.append(framebuf.FrameBuffer(column, 1, width, framebuf.GS8, self.pages))
                self._page_rows.append(framebuf.FrameBuffer(row, 1, width, framebuf.GS8))
            super().__init__(self.renderbuf, height, width, framebuf.MONO_HMSB)
        else:
            super().__init__(self.renderbuf, width, height, framebuf.MONO_VLSB)
        self.init_display()

    def init_display(self):
        self.reset()
        self.fill(0)
        self.poweroff()
        self.flip(self.flip_en, update=False)
        # The chip's memory has anything in it at first: it is cleared before it is seen.
        self.show(True)
        self.poweron()

    def reset(self, res=None):
        """Pull the pin of the chip's reset low for a moment."""
        if res is not None:
            res(0)
            sleep_us(20)
            res(1)
            sleep_us(20)

    def poweroff(self):
        self.write_cmd(0xAE)

    def poweron(self):
        self.write_cmd(0xAF)

    def sleep(self, value):
        self.write_cmd(0xAE | (not value))

    def contrast(self, contrast):
        self.write_cmd(0x81)
        self.write_cmd(contrast)

    def invert(self, invert):
        self.write_cmd(0xA6 | (invert & 1))

    def flip(self, flag=None, update=True):
        """Turn by 180 degrees, or back."""
        if flag is None:
            flag = not self.flip_en
        self.flip_en = flag
        is_column_reversed = not flag
        if self.rotate90:
            # The rows of the drawing are the chip's columns: one of both directions is the other one.
            is_column_reversed = bool(flag)
        self.write_cmd(0xA0 | is_column_reversed)
        self.write_cmd(0xC0 | ((not flag) << 3))
        if update:
            self.show(True)

    def show(self, full_update=False):
        """Send the pages that something was drawn on since the last time, or all."""
        pages = self.pages_to_update
        if full_update or self.rotate90:
            pages = (1 << self.pages) - 1
        if self.rotate90:
            self._turn()
        first = (132 - self.width) // 2
        for page in range(self.pages):
            if pages & (1 << page):
                self.write_cmd(0xB0 | page)
                self.write_cmd(first & 0x0F)
                self.write_cmd(0x10 | (first >> 4))
                self.write_data(memoryview(self.displaybuf)[self.width * page : self.width * (page + 1)])
        self.pages_to_update = 0

    def pixel(self, x, y, color=None):
        if color is None:
            return super().pixel(x, y)
        super().pixel(x, y, color)
        self.register_updates(y)
        return None

    def text(self, text, x, y, color=1):
        super().text(text, x, y, color)
        self.register_updates(y, y + 7)

    def line(self, x0, y0, x1, y1, color):
        super().line(x0, y0, x1, y1, color)
        self.register_updates(y0, y1)

    def hline(self, x, y, w, color):
        super().hline(x, y, w, color)
        self.register_updates(y)

    def vline(self, x, y, h, color):
        super().vline(x, y, h, color)
        self.register_updates(y, y + h - 1)

    def fill(self, color):
        super().fill(color)
        self.pages_to_update = (1 << self.pages) - 1

    def blit(self, fbuf, x, y, key=-1, palette=None):
        super().blit(fbuf, x, y, key, palette)
        self.register_updates(y, self.height)

    def scroll(self, x, y):
        super().scroll(x, y)
        self.pages_to_update = (1 << self.pages) - 1

    def fill_rect(self, x, y, w, h, color):
        super().fill_rect(x, y, w, h, color)
        self.register_updates(y, y + h - 1)

    def rect(self, x, y, w, h, color, fill=False):
        super().rect(x, y, w, h, color, fill)
        self.register_updates(y, y + h - 1)

    def ellipse(self, x, y, xr, yr, color, fill=False, quadrants=15):
        super().ellipse(x, y, xr, yr, color, fill, quadrants)
        self.register_updates(y - yr, y + yr)

    def register_updates(self, y0, y1=None):
        """Note the pages of the rows from y0 to y1 for the next show()."""
        if y1 is None:
            y1 = y0
        first = max(0, min(y0, y1) // 8)
        last = min(self.pages - 1, max(y0, y1) // 8)
        for page in range(first, last + 1):
            self.pages_to_update |= 1 << page

    def _turn(self):
        for page in range(self.pages):
            self._page_rows[page].blit(self._columns[page], 0, 0)


class SH1106_I2C(SH1106):
    def __init__(self, width, height, i2c, res=None, addr=0x3C, rotate=0, external_vcc=False, delay=0):
        self.i2c = i2c
        self.addr = addr
        self.res = res
        self.temp = bytearray(2)
        if res is not None:
            res.init(res.OUT, value=1)
        super().__init__(width, height, external_vcc, rotate)

    def write_cmd(self, cmd):
        self.temp[0] = 0x80
        self.temp[1] = cmd
        self.i2c.writeto(self.addr, self.temp)

    def write_data(self, buf):
        self.i2c.writevto(self.addr, (b"\x40", buf))

    def reset(self, res=None):
        super().reset(self.res)
