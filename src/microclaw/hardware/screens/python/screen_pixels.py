"""The layouts of microclaw.screen on pixels, drawn with framebuf's font in sizes 1 to 4; how each display gets them."""

import framebuf
from microclaw.screen_icons import ICONS
from microclaw.screen_text import DEGREE, Layout, joined, mirrored, number_text, percent_of, plain, wrapped

# The degree sign, which framebuf's font lacks, a byte for each row (hardware/screens/fonts.py has it for the reader).
_DEGREE_ROWS = b"\x30\x48\x48\x30\0\0\0\0"
_CELL = 8


class Pixels(Layout):
    """A picture in a frame buffer. `_end` of a subclass sends the rows that differ from `_shown`."""

    def __init__(self, buffer, width, height, layout, sizes=4):
        super().__init__(width, height, _CELL, sizes)
        self._frame = framebuf.FrameBuffer(buffer, width, height, layout)
        self._buffer = buffer
        self._shown = bytearray(len(buffer))

    def number(self, value, unit="", label=""):
        """Show a number as large as it fits, its unit beside or below it, and the label at the top."""
        self._begin()
        self._put_number(number_text(value), plain(unit), self._put_label(label), self._height)
        self._end()

    def bar(self, percent, label=""):
        """Show how full something is; without room for it, no number."""
        percent = percent_of(percent)
        self._begin()
        top = self._put_label(label)
        thickness = max(_CELL, self._height // 4)
        bottom = self._height - thickness
        if bottom - top >= _CELL:
            self._put_number("%d %%" % percent, "", top, bottom)
        self._frame.rect(0, bottom, self._width, thickness, 1)
        self._frame.fill_rect(2, bottom + 2, (self._width - 4) * percent // 100, thickness - 4, 1)
        self._end()

    def icon(self, name, label=""):
        """Show an icon below its label; for one that is not in ICONS the label, or else the name."""
        if name not in ICONS:
            self.text(label or name)
            return
        self._begin()
        top = self._put_label(label)
        height = self._height - top
        size = min(self._width, height) // _CELL
        edge = _CELL * size
        self._enlarge(ICONS[name], (self._width - edge) // 2, top + (height - edge) // 2, size)
        self._end()

    def graph(self, values, unit="", label=""):
        """Show the label, the last value and the curve of all, the lowest at the bottom; the label only with room."""
        self._begin()
        top = 0
        if self._height >= 5 * _CELL:
            top = self._put_label(label)
        if values and self._height >= 3 * _CELL:
            self._put_centred(joined(number_text(values[-1]), unit, self._width // _CELL), top, 1)
            top += _CELL
        if values:
            self._put_curve(values, top + 1)
        self._end()

    def _begin(self):
        self._frame.fill(0)

    def _put(self, text, x, y, size):
        if size == 1:
            self._frame.text(text.replace(DEGREE, " "), x, y, 1)
        cell = bytearray(_CELL)
        picture = framebuf.FrameBuffer(cell, _CELL, _CELL, framebuf.MONO_HLSB)
        for character in text:
            if character == DEGREE:
                self._enlarge(_DEGREE_ROWS, x, y, size)
            elif size > 1:
                picture.fill(0)
                picture.text(character, 0, 0, 1)
                self._enlarge(cell, x, y, size)
            x += _CELL * size

    def _enlarge(self, rows, x, y, size):
        """Draw 8 x 8 pixels, each as a square of `size`."""
        for row in rows:
            for column in range(_CELL):
                if row & 0x80 >> column:
                    self._frame.fill_rect(x + column * size, y, size, size, 1)
            y += size

    def _put_label(self, label):
        """Write the label into the first line if there is another one, and return the place below it."""
        if not label or self._height < 2 * _CELL:
            return 0
        self._put_centred(wrapped(label, self._width // _CELL, True)[0], 0, 1)
        return _CELL

    def _put_number(self, text, unit, top, bottom):
        for size in range(self._sizes, 0, -1):
            edge = _CELL * size
            unit_size = max(1, size // 2)
            unit_edge = _CELL * unit_size
            width = edge * len(text)
            beside = width
            below = edge
            if unit:
                beside += unit_edge // 2 + unit_edge * len(unit)
                below += unit_edge
            if beside <= self._width and edge <= bottom - top:
                x = (self._width - beside) // 2
                y = (top + bottom - edge) // 2
                self._put(text, x, y, size)
                self._put(unit, x + beside - unit_edge * len(unit), y + edge - unit_edge, unit_size)
                return
            if max(width, unit_edge * len(unit)) <= self._width and below <= bottom - top:
                y = (top + bottom - below) // 2
                self._put_centred(text, y, size)
                self._put_centred(unit, y + edge, unit_size)
                return
        self._put_centred(joined(text, "", self._width // _CELL), top, 1)

    def _put_curve(self, values, top):
        least = min(values)
        span = max(values) - least
        bottom = self._height - 1
        last_x = self._width - 1
        x_before = None
        y_before = None
        for place, value in enumerate(values):
            x = last_x
            y = bottom
            if len(values) > 1:
                x = place * last_x // (len(values) - 1)
            if span:
                y -= int((value - least) * (bottom - top) / span)
            if place:
                self._frame.line(x_before, y_before, x, y, 1)
            else:
                self._frame.pixel(x, y, 1)
            x_before = x
            y_before = y


class Oled(Pixels):
    def __init__(self, driver, buffer):
        self._driver = driver
        super().__init__(buffer, driver.width, driver.height, framebuf.MONO_VLSB)

    def _end(self):
        for page in range(self._height // 8):
            begin = page * self._width
            piece = self._buffer[begin : begin + self._width]
            if piece != self._shown[begin : begin + self._width]:
                self._shown[begin : begin + self._width] = piece
                self._send(page, piece)

    def _send(self, page, piece):
        first = (128 - self._width) // 2
        for command in (0x21, first, first + self._width - 1, 0x22, page, page):
            self._driver.write_cmd(command)
        self._driver.write_data(piece)


class PagedOled(Oled):
    """For a driver that itself sends pages, those in `pages_to_update`."""

    def _send(self, page, piece):
        self._driver.pages_to_update = 1 << page
        self._driver.show()


class Colors(Pixels):
    """White on black: a small picture whose pixels are shown as squares, as a whole one has no room in a program."""

    def __init__(self, blit, further, width, height):
        scale = 1
        if min(width, height) >= 128:
            scale = 2
        # A row of the picture has whole bytes; what is left of the panel stays black on both sides.
        columns = width // (8 * scale) * 8
        rows = height // scale
        # The first shows pixels from a place on, the other one those that follow there.
        self._blit = blit
        self._continue = further
        self._scale = scale
        self._left = (width - columns * scale) // 2
        # A row of the picture, and the same as it is sent, whose pixels are reached in `scale` times `scale` columns.
        row = bytearray(2 * columns)
        self._line = bytearray(2 * columns * scale * scale)
        self._row = framebuf.FrameBuffer(row, columns, 1, framebuf.RGB565)
        self._column = framebuf.FrameBuffer(row, 1, columns, framebuf.RGB565, 1)
        self._palette = framebuf.FrameBuffer(bytearray(b"\0\0\xff\xff"), 2, 1, framebuf.RGB565)
        self._views = []
        for y in range(scale):
            for x in range(scale):
                view = memoryview(self._line)[2 * (y * columns * scale + x) :]
                self._views.append(framebuf.FrameBuffer(view, 1, columns, framebuf.RGB565, scale))
        super().__init__(bytearray(columns // 8 * rows), columns, rows, framebuf.MONO_HLSB, 4 // scale)

    def _end(self):
        row = 0
        while row < self._height:
            last_row = row
            while last_row < self._height and self._has_changed(last_row):
                last_row += 1
            if last_row > row:
                self._send(row, last_row)
            row = last_row + 1

    def _has_changed(self, row):
        size = self._width // 8
        piece = self._buffer[row * size : row * size + size]
        if piece == self._shown[row * size : row * size + size]:
            return False
        self._shown[row * size : row * size + size] = piece
        return True

    def _send(self, first, end):
        """Send rows that follow each other: the first one with the place of all of them."""
        scale = self._scale
        for row in range(first, end):
            self._row.blit(self._frame, 0, -row, -1, self._palette)
            for view in self._views:
                view.blit(self._column, 0, 0)
            if row == first:
                self._blit(self._line, self._left, row * scale, self._width * scale, (end - first) * scale)
            else:
                self._continue(self._line)


class Matrix(Pixels):
    def __init__(self, driver, is_mirrored):
        self._driver = driver
        self._is_mirrored = is_mirrored
        super().__init__(bytearray(8 * driver.num), 8 * driver.num, 8, framebuf.MONO_HLSB)

    def _end(self):
        if self._buffer == self._shown:
            return
        self._shown[:] = self._buffer
        for place, byte in enumerate(self._buffer):
            if self._is_mirrored:
                byte = mirrored(byte)
            self._driver.buffer[place] = byte
        self._driver.show()
