"""The commands of an SSD1306, on I2C and on SPI. Its brightness and its timing of the panel are not simulated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.hardware.parts.oled_controller import LINES, PAGES, OledPanel

_HORIZONTAL: Final = 0
_VERTICAL: Final = 1
_BY_PAGE: Final = 2
_FRAME_MS: Final = 9.34
"""A frame: 370 kHz / (1 x 54 x 64) a second, as after power on."""
_SCROLL_FRAMES: Final = (5, 64, 128, 256, 3, 4, 25, 2)


class Ssd1306(OledPanel):
    """Solomon Systech SSD1306 rev 1.1: section 9 (commands), 10.1 (addressing, panels), 8.7 (RAM), application note."""

    COLUMNS = 128
    ARGUMENTS: Mapping[int, int] = {
        0x20: 1,
        0x21: 2,
        0x22: 2,
        0x23: 1,
        0x26: 6,
        0x27: 6,
        0x29: 5,
        0x2A: 5,
        0x81: 1,
        0x8D: 1,
        0xA3: 2,
        0xA8: 1,
        0xD3: 1,
        0xD5: 1,
        0xD6: 1,
        0xD9: 1,
        0xDA: 1,
        0xDB: 1,
    }

    def reset(self) -> None:
        super().reset()
        self.mode = _BY_PAGE
        self.columns = (0, self.COLUMNS - 1)
        self.pages = (0, PAGES - 1)
        self._scroll_step = 0
        self._scroll_pages = (0, 0)
        self._scroll_ms = 0.0
        self._scroll_lines = 0
        # The number of the scroll that runs; an alarm of an earlier one does nothing.
        self._scroll_number = 0

    def advance(self) -> None:
        if self.mode == _VERTICAL:
            self._advance_page()
            if self.page == self.pages[0]:
                self._advance_column(self.columns)
        elif self.mode == _HORIZONTAL:
            self._advance_column(self.columns)
            if self.column == self.columns[0]:
                self._advance_page()
        else:
            self._advance_column((0, self.COLUMNS - 1))

    def carry_out(self, command: int, arguments: list[int]) -> None:
        match command:
            case 0x20:
                self.mode = min(arguments[0] & 3, _BY_PAGE)
            case 0x21:
                self.columns = (arguments[0] & 127, arguments[1] & 127)
                self.column = self.columns[0]
            case 0x22:
                self.pages = (arguments[0] & 7, arguments[1] & 7)
                self.page = self.pages[0]
            case 0x26 | 0x27 | 0x29 | 0x2A:
                self._set_scroll(command, arguments)
            case 0x2E:
                self._scroll_number += 1
            case 0x2F:
                self._scroll_number += 1
                self._await_scroll(self._scroll_number)
            case 0x8D:
                # The usual modules have no other supply for the panel than the charge pump.
                self.is_fed = bool(arguments[0] & 4)
            case _ if command < 0x10:
                self.column = self.column & 0x70 | command
            case _ if command < 0x20:
                self.column = self.column & 0x0F | (command & 7) << 4

    def _advance_column(self, window: tuple[int, int]) -> None:
        first, last = window
        if self.column == last:
            self.column = first
        else:
            self.column = (self.column + 1) % self.COLUMNS

    def _advance_page(self) -> None:
        first, last = self.pages
        if self.page == last:
            self.page = first
        else:
            self.page = (self.page + 1) % PAGES

    def _set_scroll(self, command: int, arguments: list[int]) -> None:
        """Note how the picture moves: by a column for each step, and by lines if the command says so."""
        is_to_the_right = command in (0x26, 0x29)
        self._scroll_step = 1 if is_to_the_right else -1
        self._scroll_pages = (arguments[1] & 7, arguments[3] & 7)
        self._scroll_ms = _SCROLL_FRAMES[arguments[2] & 7] * _FRAME_MS
        self._scroll_lines = 0
        if command in (0x29, 0x2A):
            self._scroll_lines = arguments[4] & 63

    def _await_scroll(self, number: int) -> None:
        if self._scroll_step:
            self.bench.call_at(self.bench.now_ms() + self._scroll_ms, lambda: self._scroll(number))

    def _scroll(self, number: int) -> None:
        """Move what the RAM has by one step, unless the scroll was ended."""
        if number != self._scroll_number:
            return
        first, last = self._scroll_pages
        for page in range(first, last + 1):
            row = self._page_columns(page)
            # On the panel the first column is on the right side.
            moved = row[self._scroll_step :] + row[: self._scroll_step]
            self.ram[page * self.COLUMNS : (page + 1) * self.COLUMNS] = moved
        self.start_line = (self.start_line + self._scroll_lines) % LINES
        if self.is_lit:
            self.bench.screen_changed()
        self._await_scroll(number)

    def _page_columns(self, page: int) -> bytearray:
        return self.ram[page * self.COLUMNS : (page + 1) * self.COLUMNS]
