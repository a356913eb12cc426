"""The fonts of the libraries for displays are those of hardware/screens.

MICROCLAW_GOLDEN=1 writes their tables again.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from microclaw.hardware.screens import screen
from microclaw.programs.wasm.part_libraries import SHARED_LIBRARIES

FONTS: Final = sorted(Path(screen.__file__).parent.glob("font_*.toml"))
TABLES: Final = SHARED_LIBRARIES / "pixel_fonts"
CHARACTERS: Final = [*map(chr, range(0x20, 0x7F)), "°"]


def read_font(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


def glyph_bytes(rows: list[str]) -> bytes:
    """Return a glyph as pixel_font.h has it: its width, then its rows, bit by bit."""
    digits = "".join(rows).replace(".", "0").replace("#", "1")
    byte_count = (len(digits) + 7) // 8
    return bytes([len(rows[0])]) + int(digits.ljust(byte_count * 8, "0"), 2).to_bytes(byte_count, "big")


def table_text(file: Path) -> str:
    font = read_font(file)
    glyphs = font["glyphs"]
    row_count = len(glyphs["A"].split())
    lines = [
        f"/* Made of hardware/screens/{file.name}; tests/hardware/screens/test_font_tables.py holds both equal. */"
    ]
    lines += ['#include "pixel_font.h"', "", "static const uint8_t GLYPHS[] = {"]
    for character in CHARACTERS:
        numbers = ", ".join(map(str, glyph_bytes(glyphs[character].split())))
        lines.append(f"    {numbers},")
    numbers = f"{row_count}, {font['ascent']}, {font['line']}, {font['gap']}"
    lines += ["};", f"extern const MicroclawFont microclaw_{file.stem} = {{{numbers}, GLYPHS}};", ""]
    return "\n".join(lines)


@pytest.mark.parametrize("file", FONTS, ids=lambda file: file.stem)
def test_the_table_of_a_font_is_that_of_its_file(file: Path) -> None:
    table = TABLES / f"{file.stem}.cpp"
    text = table_text(file)
    if os.environ.get("MICROCLAW_GOLDEN"):
        table.write_text(text, encoding="utf-8")
    assert table.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("file", FONTS, ids=lambda file: file.stem)
def test_each_character_of_a_font_has_its_own_glyph_with_rows_of_one_length(file: Path) -> None:
    glyphs = read_font(file)["glyphs"]
    assert list(glyphs) == CHARACTERS
    assert len(set(glyphs.values())) == len(CHARACTERS)
    row_counts = set()
    for text in glyphs.values():
        rows = text.split()
        row_counts.add(len(rows))
        assert {len(row) for row in rows} == {len(rows[0])}
    assert len(row_counts) == 1
