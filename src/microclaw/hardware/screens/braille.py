"""Draws a screen as lines of text: pixels as braille, characters in a frame, digits as segments. Reads no text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import add
from typing import Final

from microclaw.hardware.screens.screen import DOT, Screen

MAX_LINE_CHARS: Final = 64
"""128 pixels are 64 characters of braille. In its frame it fits beside a stage's name in a terminal of 80 columns."""
MAX_LINES: Final = 32
NO_GLYPH: Final = "\u25af"
"""Stands for a character that the program defined, or that cannot be printed."""
NO_DOTS: Final = "\u2800"
_CELL_WIDTH: Final = 2
_CELL_HEIGHT: Final = 4
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bits of a braille cell's dots, by row and column (Unicode, Braille Patterns)."""


def screen_lines(screen: Screen) -> tuple[str, ...]:
    """Return what a screen shows, as lines in a frame: at most MAX_LINES of at most MAX_LINE_CHARS characters.

    A large picture is drawn smaller: a dot is lit if half of its pixels are. Digits have no frame.
    """
    if screen.kind == "text":
        return _framed(tuple(map(printable, screen.lines)))
    if screen.kind == "digits":
        return _segment_lines(screen)
    return _framed(braille_lines(screen))


def braille_lines(screen: Screen) -> tuple[str, ...]:
    """Return pixels or colors as braille, without a frame."""
    return _cells_of(_shrunk(lit_rows(screen)))


def lit_rows(screen: Screen) -> list[list[bool]]:
    """Return the pixels of a picture by rows. A pixel of colors is lit if it is nearer to the brightest than to black.

    Between the darkest and the brightest: so white text on blue is text, too.
    """
    if screen.kind == "pixels":
        return list(map(partial(_lit_pixels, screen.width), _rows(screen)))
    rows = list(map(_brightness, _rows(screen)))
    darkest = min(map(min, rows))
    brightest = max(map(max, rows))
    limit = (darkest + brightest) / 2
    if darkest == brightest:
        limit = 0.5
    lit = []
    for row in rows:
        lit.append([value > limit for value in row])
    return lit


def _rows(screen: Screen) -> list[bytes]:
    size = screen.row_bytes
    return [screen.data[begin : begin + size] for begin in range(0, size * screen.height, size)]


def _lit_pixels(width: int, row: bytes) -> list[bool]:
    bits = f"{int.from_bytes(row, 'big'):0{len(row) * 8}b}"
    return [bit == "1" for bit in bits[:width]]


_HIGH_BRIGHTNESS: Final = bytes((byte >> 3) * 2 + (byte & 7) * 8 * 3 for byte in range(256))
_LOW_BRIGHTNESS: Final = bytes((byte >> 5) * 3 + (byte & 0x1F) for byte in range(256))
"""What the high and the low byte of a color add to its brightness: 2 for a step of red, 3 of green, 1 of blue."""


def _brightness(row: bytes) -> list[int]:
    """Return the brightness of each pixel of a row of colors, 0 to 282."""
    return list(map(add, row[0::2].translate(_HIGH_BRIGHTNESS), row[1::2].translate(_LOW_BRIGHTNESS)))


def _shrunk(rows: Sequence[Sequence[bool]]) -> list[list[bool]]:
    """Return the picture, or a smaller one that fits into the lines."""
    most_width = MAX_LINE_CHARS * _CELL_WIDTH
    most_height = MAX_LINES * _CELL_HEIGHT
    factor = max(-(-len(rows[0]) // most_width), -(-len(rows) // most_height))
    small_rows = []
    for top in range(0, len(rows), factor):
        small_rows.append(_shrunk_band(rows[top : top + factor], factor))
    return small_rows


def _shrunk_band(band: Sequence[Sequence[bool]], factor: int) -> list[bool]:
    """Return one row for `factor` rows; a block at the edge counts as if dark pixels followed it."""
    every_nth = []
    for row in band:
        padding = [False] * (-len(row) % factor)
        padded = [*row, *padding]
        for first in range(factor):
            every_nth.append(padded[first::factor])
    return [sum(block) * 2 >= factor * factor for block in zip(*every_nth, strict=True)]


def _cells_of(rows: Sequence[Sequence[bool]]) -> tuple[str, ...]:
    lines = []
    for top in range(0, len(rows), _CELL_HEIGHT):
        cells = [ord(NO_DOTS)] * -(-len(rows[0]) // _CELL_WIDTH)
        for row, bits in zip(rows[top : top + _CELL_HEIGHT], _DOTS, strict=False):
            for x, is_lit in enumerate(row):
                if is_lit:
                    cells[x // _CELL_WIDTH] |= bits[x % _CELL_WIDTH]
        lines.append("".join(map(chr, cells)))
    return tuple(lines)


def _framed(lines: Sequence[str]) -> tuple[str, ...]:
    width = min(max(map(len, lines)), MAX_LINE_CHARS)
    edge = "\u2500" * width
    drawn = [f"\u250c{edge}\u2510"]
    for line in lines[:MAX_LINES]:
        drawn.append(f"\u2502{line[:width].ljust(width)}\u2502")
    drawn.append(f"\u2514{edge}\u2518")
    return tuple(drawn)


def printable(text: str) -> str:
    """Return a line of a display with NO_GLYPH for what cannot be printed."""
    characters = []
    for character in text:
        is_own = "\ue000" <= character <= "\uf8ff"
        if is_own or not character.isprintable():
            character = NO_GLYPH
        characters.append(character)
    return "".join(characters)


def _segment_lines(screen: Screen) -> tuple[str, ...]:
    """Return three lines with the segments of each digit, and the mark after it."""
    lines = ["", "", ""]
    for digit in screen.data[: MAX_LINE_CHARS // 4]:
        upper_dot = " "
        lower_dot = " "
        if digit & DOT:
            lower_dot = "."
            if screen.mark == ":":
                upper_dot = "."
        lines[0] += f" {_stroke(digit, 0, '_')}  "
        lines[1] += f"{_stroke(digit, 5, '|')}{_stroke(digit, 6, '_')}{_stroke(digit, 1, '|')}{upper_dot}"
        lines[2] += f"{_stroke(digit, 4, '|')}{_stroke(digit, 3, '_')}{_stroke(digit, 2, '|')}{lower_dot}"
    return tuple(lines)


def _stroke(digit: int, segment: int, mark: str) -> str:
    """Return the mark of a segment (0 is a, 6 is g) if it is lit, else a space."""
    if digit >> segment & 1:
        return mark
    return " "
