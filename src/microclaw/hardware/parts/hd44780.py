"""An HD44780U, the controller of character displays, at register level. It knows neither pins nor buses.

Hitachi HD44780U (ADE-207-272): table 1 (RAM addresses), table 4 (characters of ROM A00), table 6 (commands and their
times at 270 kHz), "Reset function" (the state at power on), figures 9 and 24 (transfers of 8 and of 4 bits).
"""

from __future__ import annotations

from typing import Final

RESET_MS: Final = 10.0
CLEAR_MS: Final = 1.52
COMMAND_MS: Final = 0.037
LINE_BYTES: Final = 40
SECOND_LINE: Final = 0x40
_RAM_BYTES: Final = 0x80
_CUSTOM_MASK: Final = 0x3F
_FIRST_CUSTOM: Final = 0xE000
_BUSY: Final = 0x80

_ASCII: Final = "".join(map(chr, range(0x20, 0x7E))).replace("\\", "¥") + "→←"
_KATAKANA: Final = "".join(map(chr, range(0xFF61, 0xFF9F))) + "°"
"""Half-width katakana. The last one looks like a degree sign, and programs mean that."""
# Some of these are no single characters of Unicode: the minus of ⁻¹, and an x without its bar.
_GREEK: Final = "αäβεμσρg√⁻jˣ¢£ñöpqθ∞ΩüΣπxy千万円÷ █"
_CUSTOM: Final = "".join(chr(_FIRST_CUSTOM + code % 8) for code in range(16))
CHARACTERS: Final = _CUSTOM + " " * 16 + _ASCII + " " * 33 + _KATAKANA + _GREEK
"""The character of each code; those that a program defines are U+E000 to U+E007."""


class Hd44780:
    """Its RAM and its flags. Times are milliseconds of board time. `has_lost`: something came while it was busy."""

    def __init__(self, on_ms: float) -> None:
        """Create it as it is when its power comes on."""
        self.is_on = False
        self.has_cursor = False
        self.blinks = False
        self.has_lost = False
        self._has_8_bits = True
        self._has_two_lines = False
        self._step = 1
        self._shifts_with_text = False
        self._shift = 0
        self._ram = bytearray(b" " * _RAM_BYTES)
        self._custom = bytearray(_CUSTOM_MASK + 1)
        self._address = 0
        self._is_in_custom = False
        self._busy_until_ms = on_ms + RESET_MS
        # Of a transfer of 4 bits: the first half of a byte that comes, None between two bytes; and what is read.
        self._half: int | None = None
        self._is_half_read = False
        self._is_lost = False
        self._answer = 0

    def line(self, row: int, columns: int) -> str:
        """Return the characters that a display with that many columns has in a row.

        A display of four rows has the third and fourth one behind the first and second one.
        """
        is_second_line = bool(row % 2)
        if not self.is_on or (is_second_line and not self._has_two_lines):
            return " " * columns
        begin = SECOND_LINE * is_second_line
        length = LINE_BYTES if self._has_two_lines else 2 * LINE_BYTES
        first = columns * (row // 2) + self._shift
        codes = bytearray()
        for column in range(columns):
            codes.append(self._ram[begin + (first + column) % length])
        return "".join(CHARACTERS[code] for code in codes)

    # Its pins.
    def rise(self, t_ms: float, *, is_data: bool, is_read: bool) -> None:
        """Take the rising edge of E, at which it puts out what is read."""
        if not is_read or self._is_half_read:
            return
        is_busy = t_ms < self._busy_until_ms
        if is_data:
            self._answer = self._read_memory()
        else:
            self._answer = self._address | _BUSY * is_busy

    def output(self) -> int:
        """Return what is on its data pins while E is high in a read; of 4 bits it is in the upper half."""
        if self._is_half_read:
            return self._answer << 4 & 0xF0
        return self._answer

    def fall(self, t_ms: float, *, is_data: bool, is_read: bool, byte: int) -> None:
        """Take the falling edge of E, and with it what is on the data pins; of 4 bits it is in the upper half."""
        if is_read:
            self._end_read(t_ms, is_data=is_data)
        elif self._has_8_bits:
            self._is_lost = t_ms < self._busy_until_ms
            self._take(t_ms, byte, is_data=is_data)
        elif self._half is None:
            self._is_lost = t_ms < self._busy_until_ms
            self._half = byte & 0xF0
        else:
            whole = self._half | byte >> 4
            self._half = None
            self._take(t_ms, whole, is_data=is_data)

    def _end_read(self, t_ms: float, *, is_data: bool) -> None:
        if not self._has_8_bits:
            self._is_half_read = not self._is_half_read
        is_over = not self._is_half_read
        if is_data and is_over and t_ms >= self._busy_until_ms:
            self._move(self._step)
            self._busy_until_ms = t_ms + COMMAND_MS

    def _take(self, t_ms: float, byte: int, *, is_data: bool) -> None:
        if self._is_lost:
            self.has_lost = True
            return
        self._busy_until_ms = t_ms + COMMAND_MS
        if is_data:
            self._write_memory(byte)
        elif byte in (1, 2, 3):
            self._busy_until_ms = t_ms + CLEAR_MS
            self._go_home()
            if byte == 1:
                self._ram[:] = b" " * _RAM_BYTES
                self._step = 1
        else:
            self._carry_out(byte)

    # Its commands.
    def _carry_out(self, command: int) -> None:
        """Carry out a command, which is known by its highest bit."""
        if command & 0x80:
            self._address = command & 0x7F
            self._is_in_custom = False
        elif command & 0x40:
            self._address = command & _CUSTOM_MASK
            self._is_in_custom = True
        elif command & 0x20:
            self._has_8_bits = bool(command & 0x10)
            self._has_two_lines = bool(command & 0x08)
        elif command & 0x10:
            self._move_cursor_or_text(command)
        elif command & 0x08:
            self.is_on = bool(command & 0x04)
            self.has_cursor = bool(command & 0x02)
            self.blinks = bool(command & 0x01)
        elif command & 0x04:
            self._step = 1 if command & 0x02 else -1
            self._shifts_with_text = bool(command & 0x01)

    def _go_home(self) -> None:
        self._address = 0
        self._is_in_custom = False
        self._shift = 0

    def _move_cursor_or_text(self, command: int) -> None:
        is_to_the_right = bool(command & 0x04)
        step = 1 if is_to_the_right else -1
        if command & 0x08:
            # Text that moves to the right begins at an earlier address.
            self._move_text(-step)
        else:
            self._move(step)

    def _write_memory(self, byte: int) -> None:
        if self._is_in_custom:
            self._custom[self._address] = byte
        else:
            self._ram[self._address] = byte
            if self._shifts_with_text:
                self._move_text(self._step)
        self._move(self._step)

    def _read_memory(self) -> int:
        if self._is_in_custom:
            return self._custom[self._address]
        return self._ram[self._address]

    def _move_text(self, step: int) -> None:
        length = LINE_BYTES if self._has_two_lines else 2 * LINE_BYTES
        self._shift = (self._shift + step) % length

    def _move(self, step: int) -> None:
        """Go to the next address; behind the end of a line comes the other line."""
        if self._is_in_custom:
            self._address = (self._address + step) & _CUSTOM_MASK
            return
        line_end = LINE_BYTES if self._has_two_lines else 2 * LINE_BYTES
        line = self._address & SECOND_LINE if self._has_two_lines else 0
        place = self._address - line + step
        if 0 <= place < line_end:
            self._address = line + place
            return
        if self._has_two_lines:
            line ^= SECOND_LINE
        if step > 0:
            self._address = line
        else:
            self._address = line + line_end - 1
