"""Draws a screen as a PNG (ISO/IEC 15948) of bounded size, large enough to be seen well. Reads no text.

Pixels and colors are enlarged, characters are drawn with the font of 5 x 7 pixels, digits as segments.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from microclaw.hardware.screens.fonts import own_fonts
from microclaw.hardware.screens.screen import DOT, Screen

MAX_PNG_BYTES: Final = 64 << 10
PNG: Final = "image/png"
_WANTED_SIZE: Final = 544
"""The pixels of the longer side that a small picture is enlarged to."""
_MAX_SCALE: Final = 8
_MARGIN: Final = 2
_MAX_CHARACTERS: Final = 80
_MAX_TEXT_LINES: Final = 16
_MAX_DIGITS: Final = 32
_HEAD: Final = b"\x89PNG\r\n\x1a\n"
_PALETTE_TYPE: Final = 3
_COLOR_TYPE: Final = 2
_DARK: Final = 0
_LIT: Final = 1
_UNLIT: Final = 2
_GLASS: Final = bytes.fromhex("0b0f14 8fe3ff 1b2733")
_CHARACTER_GLASS: Final = bytes.fromhex("8fb33a 1c2a06 a6c84c")
_DIGIT_GLASS: Final = bytes.fromhex("160404 ff3b30 3a1212")
"""Palettes: the dark, the lit and the unlit color as red, green, blue."""
_CELL_WIDTH: Final = 6
_CELL_HEIGHT: Final = 9
_UNKNOWN: Final = ("#####", "#...#", "#...#", "#...#", "#...#", "#...#", "#####")
_DEGREE: Final = (".##..", "#..#.", "#..#.", ".##..", ".....", ".....", ".....")
_DIGIT_WIDTH: Final = 16
_DIGIT_HEIGHT: Final = 20
_SEGMENTS: Final = (
    (2, 0, 8, 2),
    (10, 2, 2, 7),
    (10, 11, 2, 7),
    (2, 18, 8, 2),
    (0, 11, 2, 7),
    (0, 2, 2, 7),
    (2, 9, 8, 2),
)
"""Left, top, width and height of the segments a to g within a digit."""
_MARKS: Final = {".": ((13, 18, 2, 2),), ":": ((13, 5, 2, 2), (13, 13, 2, 2))}


class _Raster(Struct, frozen=True):
    """Rows of pixels: an index of `palette` each, or red, green and blue if that is empty."""

    width: int
    rows: Sequence[bytes]
    palette: bytes = b""

    @property
    def pixel_bytes(self) -> int:
        """The number of bytes of a pixel."""
        if self.palette:
            return 1
        return 3

    @property
    def scale(self) -> int:
        """How many times it is enlarged."""
        longer_side = max(self.width, len(self.rows))
        return max(1, min(_MAX_SCALE, _WANTED_SIZE // longer_side))


def draw_png(screen: Screen) -> bytes:
    """Return a screen as a PNG of at most MAX_PNG_BYTES. A picture with more is drawn smaller."""
    raster = _raster_of(screen)
    scale = raster.scale
    png = _encode(raster, scale)
    while len(png) > MAX_PNG_BYTES:
        if scale == 1:
            raster = _halved(raster)
        scale = 1
        png = _encode(raster, scale)
    return png


def _raster_of(screen: Screen) -> _Raster:
    if screen.kind == "pixels":
        return _pixel_raster(screen)
    if screen.kind == "colors":
        return _color_raster(screen)
    if screen.kind == "text":
        return _character_raster(screen)
    return _digit_raster(screen)


def _pixel_raster(screen: Screen) -> _Raster:
    size = screen.row_bytes
    bit_row = f"{{:0{size * 8}b}}"
    indexes = bytes.maketrans(b"01", bytes((_DARK, _LIT)))
    rows = []
    for begin in range(0, size * screen.height, size):
        number = int.from_bytes(screen.data[begin : begin + size], "big")
        bits = bit_row.format(number)[: screen.width]
        rows.append(bits.encode().translate(indexes))
    return _with_margin(rows, _GLASS)


def _with_margin(rows: Sequence[bytes], palette: bytes) -> _Raster:
    """Return a raster with a dark border, which shows where the glass ends."""
    width = len(rows[0]) + 2 * _MARGIN
    side = bytes(_MARGIN)
    border = [bytes(width)] * _MARGIN
    bordered = [*border]
    for row in rows:
        bordered.append(side + row + side)
    return _Raster(width, (*bordered, *border), palette)


_RED: Final = bytes((byte >> 3) * 255 // 31 for byte in range(256))
_BLUE: Final = bytes((byte & 0x1F) * 255 // 31 for byte in range(256))
_GREEN_HIGH: Final = bytes((byte & 7) << 5 for byte in range(256))
_GREEN_LOW: Final = bytes(byte >> 5 << 2 for byte in range(256))
"""Red, green and blue of 0 to 255 by the high and the low byte of a color; green is in both of them."""


def _color_raster(screen: Screen) -> _Raster:
    high_bytes = screen.data[0::2]
    low_bytes = screen.data[1::2]
    pixel_count = len(high_bytes)
    high_green = int.from_bytes(high_bytes.translate(_GREEN_HIGH), "big")
    low_green = int.from_bytes(low_bytes.translate(_GREEN_LOW), "big")
    pixels = bytearray(pixel_count * 3)
    pixels[0::3] = high_bytes.translate(_RED)
    pixels[1::3] = (high_green | low_green).to_bytes(pixel_count, "big")
    pixels[2::3] = low_bytes.translate(_BLUE)
    size = screen.width * 3
    rows = []
    for begin in range(0, len(pixels), size):
        rows.append(bytes(pixels[begin : begin + size]))
    return _Raster(screen.width, rows)


class _Canvas:
    """A picture of palette indexes that rectangles are painted on."""

    def __init__(self, width: int, height: int) -> None:
        self.rows = [bytearray(width) for _ in range(height)]

    def paint(self, left: int, top: int, width: int, height: int, index: int) -> None:
        """Paint a rectangle; what is outside of the picture must not be asked for."""
        for row in self.rows[top : top + height]:
            row[left : left + width] = bytes((index,)) * width


def _character_raster(screen: Screen) -> _Raster:
    lines = screen.lines[:_MAX_TEXT_LINES]
    column_count = min(screen.width, _MAX_CHARACTERS)
    canvas = _Canvas(column_count * _CELL_WIDTH - 1, len(lines) * _CELL_HEIGHT - 1)
    for line_number, line in enumerate(lines):
        for column, character in enumerate(line[:column_count].ljust(column_count)):
            _paint_character(canvas, column * _CELL_WIDTH, line_number * _CELL_HEIGHT, character)
    return _with_margin(list(map(bytes, canvas.rows)), _CHARACTER_GLASS)


def _paint_character(canvas: _Canvas, left: int, top: int, character: str) -> None:
    """Paint a character's cell: 5 x 8 dots, of which a glyph takes the upper 7 rows."""
    canvas.paint(left, top, _CELL_WIDTH - 1, _CELL_HEIGHT - 1, _UNLIT)
    glyph = _glyphs().get(character, _UNKNOWN)
    for y, row in enumerate(glyph):
        for x, mark in enumerate(row):
            if mark == "#":
                canvas.paint(left + x, top + y, 1, 1, _LIT)


@functools.cache
def _glyphs() -> Mapping[str, Sequence[str]]:
    """Return the rows of each glyph of the font of 5 x 7 pixels; "#" is lit."""
    font = next(font for font in own_fonts() if font.name == "5x7")
    return {"\u00b0": _DEGREE, **font.glyphs}


def _digit_raster(screen: Screen) -> _Raster:
    digits = screen.data[:_MAX_DIGITS]
    canvas = _Canvas(len(digits) * _DIGIT_WIDTH, _DIGIT_HEIGHT)
    for number, digit in enumerate(digits):
        left = number * _DIGIT_WIDTH
        for segment, place in enumerate(_SEGMENTS):
            index = _UNLIT
            if digit >> segment & 1:
                index = _LIT
            _paint_at(canvas, left, place, index)
        if digit & DOT:
            for place in _MARKS[screen.mark]:
                _paint_at(canvas, left, place, _LIT)
    return _with_margin(list(map(bytes, canvas.rows)), _DIGIT_GLASS)


def _paint_at(canvas: _Canvas, left: int, place: tuple[int, int, int, int], index: int) -> None:
    x, y, width, height = place
    canvas.paint(left + x, y, width, height, index)


def _halved(raster: _Raster) -> _Raster:
    """Return every second pixel of every second row."""
    size = raster.pixel_bytes
    width = -(-raster.width // 2)
    rows = []
    for row in raster.rows[::2]:
        half = bytearray(width * size)
        for channel in range(size):
            half[channel::size] = row[channel :: 2 * size]
        rows.append(bytes(half))
    return _Raster(width, rows, raster.palette)


def _encode(raster: _Raster, scale: int) -> bytes:
    """Return the PNG of a raster that is enlarged by `scale`."""
    color_type = _COLOR_TYPE
    if raster.palette:
        color_type = _PALETTE_TYPE
    head = struct.pack(">IIBBBBB", raster.width * scale, len(raster.rows) * scale, 8, color_type, 0, 0, 0)
    # Each row begins with its filter; 0 is none.
    lines = []
    for row in raster.rows:
        line = b"\0" + _enlarged(row, raster.pixel_bytes, scale)
        lines.append(line * scale)
    chunks = [_HEAD, _chunk(b"IHDR", head)]
    if raster.palette:
        chunks.append(_chunk(b"PLTE", raster.palette))
    chunks.append(_chunk(b"IDAT", zlib.compress(b"".join(lines), 9)))
    chunks.append(_chunk(b"IEND", b""))
    return b"".join(chunks)


def _enlarged(row: bytes, pixel_bytes: int, scale: int) -> bytes:
    """Return a row with each of its pixels `scale` times."""
    large = bytearray(len(row) * scale)
    for repetition in range(scale):
        for channel in range(pixel_bytes):
            large[repetition * pixel_bytes + channel :: scale * pixel_bytes] = row[channel::pixel_bytes]
    return bytes(large)


def _chunk(name: bytes, data: bytes) -> bytes:
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
