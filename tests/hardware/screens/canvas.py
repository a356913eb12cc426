"""Draws pictures for tests: texts of a font in any size, boxes, turned pictures."""

from __future__ import annotations

import math
from collections.abc import Callable

from microclaw.hardware.screens.fonts import Font, own_fonts
from microclaw.hardware.screens.screen import Screen

FONTS = {font.name: font for font in own_fonts()}
SMALL = FONTS["5x7"]


class Canvas:
    """Pixels with a color each; 0 is the background."""

    def __init__(self, width: int = 128, height: int = 64) -> None:
        self.width = width
        self.height = height
        self.rows = [[0] * width for _ in range(height)]

    def put(self, x: int, y: int, color: int) -> None:
        if 0 <= x < self.width and 0 <= y < self.height:
            self.rows[y][x] = color

    def text(
        self, x: int, y: int, text: str, font: Font = SMALL, size: int = 1, color: int = 1, behind: int | None = None
    ) -> None:
        """Draw a text; `behind` is the color of its cells, None leaves what is there."""
        for character in text:
            glyph = font.glyphs[character]
            width = len(glyph[0]) + font.gap
            if behind is not None:
                self.box(x, y, width * size, font.height * size, behind)
            for row, pixels in enumerate(glyph):
                for column, pixel in enumerate(pixels):
                    if pixel == "#":
                        self.box(x + column * size, y + row * size, size, size, color)
            x += width * size

    def box(self, x: int, y: int, width: int, height: int, color: int = 1) -> None:
        for row in range(y, y + height):
            for column in range(x, x + width):
                self.put(column, row, color)

    def frame(self, x: int, y: int, width: int, height: int) -> None:
        self.box(x, y, width, 1)
        self.box(x, y + height - 1, width, 1)
        self.box(x, y, 1, height)
        self.box(x + width - 1, y, 1, height)

    def turned(self, turn: int) -> Canvas:
        """Return the picture turned clockwise by 90, 180 or 270 degrees."""
        rows = self.rows
        for _ in range(turn // 90):
            rows = [list(row) for row in zip(*reversed(rows), strict=True)]
        return self._of(rows)

    def changed(self, pixel: Callable[[int, int], int]) -> Canvas:
        """Return a picture of the same size that has these pixels."""
        rows = []
        for y in range(self.height):
            rows.append([pixel(x, y) for x in range(self.width)])
        return self._of(rows)

    def turned_by_45(self) -> Canvas:
        half = math.sqrt(0.5)

        def pixel(x: int, y: int) -> int:
            across = round((x + y) * half)
            down = round((y - x) * half) + self.height // 2
            if 0 <= across < self.width and 0 <= down < self.height:
                return self.rows[down][across]
            return 0

        return self.changed(pixel)

    def screen(self) -> Screen:
        """Return it as a screen of pixels."""
        row_bytes = (self.width + 7) // 8
        data = b""
        for row in self.rows:
            bits = "".join(map(str, row)).ljust(row_bytes * 8, "0")
            data += int(bits, 2).to_bytes(row_bytes, "big")
        return Screen("pixels", self.width, self.height, data)

    def color_screen(self) -> Screen:
        data = b"".join(color.to_bytes(2, "big") for row in self.rows for color in row)
        return Screen("colors", self.width, self.height, data)

    def _of(self, rows: list[list[int]]) -> Canvas:
        canvas = Canvas(len(rows[0]), len(rows))
        canvas.rows = rows
        return canvas


def screen_of(text: str, y: int = 0) -> Screen:
    """Return a display of 128 x 64 pixels with a line of text."""
    canvas = Canvas()
    canvas.text(0, y, text)
    return canvas.screen()
