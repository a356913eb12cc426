"""The fonts whose text can be read from the pixels of a display: the project's own, and MicroPython's framebuf font.

font_NAME.toml has each font of our own. The project has no copy of framebuf's font: who has run framebuf gives its
cells (programs/proof/framebuf_font.py).
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from microclaw.conversion import convert

MAX_SIZE: Final = 4
"""How many times as large as its font a text can be drawn."""
MAX_TEXT_HEIGHT: Final = 40
FIRST_CODE: Final = 32
LAST_CODE: Final = 126
FRAMEBUF_CELL: Final = 8
"""The pixels of a cell of framebuf's font, and the bytes: a row is a byte, the leftmost pixel is the highest bit."""
_DEGREE_CELL: Final = b"\x30\x48\x48\x30\0\0\0\0"
"""The degree sign, which framebuf's font lacks, as microclaw.screen draws it (python/screen_pixels.py)."""
_LIT: Final = "#"
_DARK: Final = "."


class Font(Struct, frozen=True, eq=False):
    """The glyphs of a font as rows from the top, "#" is lit; `gap` dark columns follow each glyph.

    All glyphs of a font have the same number of rows.
    """

    name: str
    gap: int
    glyphs: Mapping[str, tuple[str, ...]]

    @property
    def height(self) -> int:
        """The number of rows of a glyph."""
        return len(self.glyphs[" "])

    @property
    def sizes(self) -> range:
        """The sizes in which its text is read."""
        return range(1, min(MAX_SIZE, MAX_TEXT_HEIGHT // self.height) + 1)


class _FontFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A font's file. `ascent` and `line` are for those that draw with it."""

    ascent: int
    line: int
    gap: int
    glyphs: Mapping[str, str]


@functools.cache
def own_fonts() -> tuple[Font, ...]:
    """Return the project's own fonts, the most usual one first."""
    folder = Path(__file__).parent
    fonts = []
    for path in folder.glob("font_*.toml"):
        fonts.append(_read_font(path))
    fonts.sort(key=lambda font: (font.height, font.name))
    return tuple(fonts)


def _read_font(path: Path) -> Font:
    file = convert(tomllib.loads(path.read_text(encoding="utf-8")), _FontFile)
    glyphs = {character: tuple(rows.split()) for character, rows in file.glyphs.items()}
    return Font(path.stem.removeprefix("font_"), file.gap, glyphs)


def framebuf_font(cells: bytes) -> Font:
    """Return MicroPython's font. `cells` has FRAMEBUF_CELL bytes for each character from FIRST_CODE to LAST_CODE."""
    glyphs = {}
    for number in range(LAST_CODE - FIRST_CODE + 1):
        begin = number * FRAMEBUF_CELL
        cell = cells[begin : begin + FRAMEBUF_CELL]
        glyphs[chr(FIRST_CODE + number)] = tuple(map(_row_text, cell))
    glyphs["°"] = tuple(map(_row_text, _DEGREE_CELL))
    return Font("framebuf", 0, glyphs)


def _row_text(row: int) -> str:
    return f"{row:08b}".replace("1", _LIT).replace("0", _DARK)
