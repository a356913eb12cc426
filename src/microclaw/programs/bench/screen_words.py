"""Reads the text on the pictures of displays, not more often than people read. Draws nothing."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import ProtocolError
from microclaw.hardware.screens.fonts import Font
from microclaw.hardware.screens.screen import unpack_screen
from microclaw.hardware.screens.text_reading import ScreenReader, ScreenReading
from microclaw.programs.bench.states import BenchState, screen_sentence
from microclaw.programs.proof.framebuf_font import python_fonts
from microclaw.wire.board_replies import PartScreen

READ_EVERY_S: Final = 0.5
"""Between two readings of a display: looking for letters in a picture takes some milliseconds."""
_DRAWN: Final = ("pixels", "colors")


class _LastReading(Struct, frozen=True):
    """The last picture of a display that was read, when, and its text."""

    screen: PartScreen
    read_s: float
    says: str | None


class ScreenWords:
    """The texts on the displays of one board, by the ids of the parts."""

    def __init__(self, *, has_python: bool) -> None:
        """Begin without a reading. `has_python`: the board's programs may draw with framebuf's font."""
        self._last: dict[str, _LastReading] = {}
        self._has_python = has_python
        self._fonts: tuple[Font, ...] = ()

    async def with_text(self, part_id: str, state: BenchState) -> BenchState:
        """Return the state of a display with the text on its picture, which may be READ_EVERY_S late."""
        screen = state.screen
        if screen is None:
            return state
        now_s = asyncio.get_running_loop().time()
        last = self._last.get(part_id)
        is_read = last is not None and last.screen == screen
        is_too_early = last is not None and now_s - last.read_s < READ_EVERY_S
        if last is None or not (is_read or is_too_early):
            last = _LastReading(screen, now_s, await self._read(screen))
            self._last[part_id] = last
        if state.says == last.says:
            return state
        return replace(state, says=last.says)

    async def _read(self, packed: PartScreen) -> str | None:
        """Return the sentence about the text on a picture, or None if no text was found."""
        try:
            screen = unpack_screen(packed.kind, packed.width, packed.height, packed.data, packed.mark)
        except ProtocolError:
            return None
        if screen.kind not in _DRAWN:
            return sentence_of(ScreenReader().read(screen))
        if self._has_python and not self._fonts:
            self._fonts = await python_fonts(None)
        reading = await asyncio.to_thread(ScreenReader(self._fonts).read, screen)
        return sentence_of(reading)


def sentence_of(reading: ScreenReading | None) -> str | None:
    """Return the sentence about the text that was read, or None if no text was found."""
    if reading is None:
        return None
    return screen_sentence(reading.text)
