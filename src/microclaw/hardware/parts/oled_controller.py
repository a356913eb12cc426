"""What the models of the controllers of monochrome OLEDs have in common: their RAM, and how a panel hangs at one."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

from microclaw.hardware.parts.models import BusDevice, Display
from microclaw.hardware.screens.screen import Screen, blank_pixels

LINES: Final = 64
PAGES: Final = LINES // 8
WRONG_ROWS: Final = "the program sets up {rows} rows, the wiring has {wired}"
_SINGLE_BYTE: Final = 0x80
_IS_DATA: Final = 0x40
_ALTERNATIVE: Final = 0x10
_SWAPPED_HALVES: Final = 0x20
_HALF: Final = LINES // 2
_DIGITS: Final = b"01"


class OledPanel(Display, ABC):
    """A controller of up to 64 lines with pages of 8 lines, whatever brings its commands and its picture.

    `COLUMNS`: its columns. `ARGUMENTS`: how many bytes follow a command; none of a command that is missing. The panel
    is `width` x `height` of the wired part, in the middle of the columns, and turned by 180 degrees, as modules have
    it: drivers reverse both directions.
    """

    COLUMNS: int
    ARGUMENTS: Mapping[int, int]

    def reset(self) -> None:
        """Return to the state at power on. The RAM has any content then: the same snow each time."""
        self.ram = _snow(self.COLUMNS * PAGES)
        self.column = 0
        self.page = 0
        self.is_on = False
        self.is_fed = False
        self.is_inverse = False
        self.is_entirely_on = False
        self.is_column_reversed = False
        self.is_scan_reversed = False
        self.contrast = 0x7F
        self.line_count = LINES
        self.offset = 0
        self.start_line = 0
        self.com_pins = 0x12
        self._command: list[int] = []
        self._is_changed = False

    def finish(self) -> None:
        """Tell the board at the end of a transfer if something else is seen now."""
        if self._is_changed:
            self._is_changed = False
            self.bench.screen_changed()

    def store(self, byte: int) -> None:
        """Take a byte of the picture: 8 pixels of a column, the highest the lowest bit."""
        column = self.column
        if self.is_column_reversed:
            column = self.COLUMNS - 1 - column
        place = self.page * self.COLUMNS + column
        if self.ram[place] != byte:
            self.ram[place] = byte
            self._is_changed = self._is_changed or self.is_lit
        self.advance()

    def take_command(self, byte: int) -> None:
        """Take a byte of a command; the command is carried out with its last one."""
        self._command.append(byte)
        first = self._command[0]
        if len(self._command) <= self.ARGUMENTS.get(first, 0):
            return
        arguments = self._command[1:]
        self._command = []
        before = self._seen_state()
        is_common = self._carry_out_common(first, arguments)
        if not is_common:
            self.carry_out(first, arguments)
        if self._seen_state() != before:
            self._is_changed = True

    @property
    def is_lit(self) -> bool:
        """True if the panel is switched on and has the voltage that makes it shine."""
        return self.is_on and self.is_fed

    @abstractmethod
    def advance(self) -> None:
        """Go to the place of the next byte of the picture."""

    @abstractmethod
    def carry_out(self, command: int, arguments: list[int]) -> None:
        """Carry out a command that the controllers do not have in common; an unknown one does nothing."""

    def screen(self) -> Screen:
        width = round(self.attribute("width"))
        height = round(self.attribute("height"))
        if not self.is_lit:
            return blank_pixels(width, height)
        lines = self._lines()
        picture = bytearray()
        for y in range(height):
            line = self._line_at(height - 1 - y)
            bits = 0
            if line is not None:
                bits = self._shown_bits(lines[line], width)
            row_bytes = (width + 7) // 8
            picture += (bits << row_bytes * 8 - width).to_bytes(row_bytes, "big")
        return Screen("pixels", width, height, bytes(picture))

    def _carry_out_common(self, command: int, arguments: list[int]) -> bool:
        """Carry out a command that all of them have; return False if it is another one."""
        if 0x40 <= command <= 0x7F:
            self.start_line = command & 63
        elif 0xB0 <= command <= 0xB7:
            self.page = command & 7
        elif arguments:
            return self._set_number(command, arguments[0])
        else:
            return self._set_switch(command)
        return True

    def _set_number(self, command: int, number: int) -> bool:
        """Carry out a command with an argument; return False if it is another one."""
        match command:
            case 0x81:
                self.contrast = number
            case 0xA8:
                self.line_count = (number & 63) + 1
            case 0xD3:
                self.offset = number & 63
            case 0xDA:
                self.com_pins = number
            case _:
                return False
        return True

    def _set_switch(self, command: int) -> bool:
        """Carry out a command that switches something on or off; return False if it is another one."""
        match command:
            case 0xA0 | 0xA1:
                # Only what is written from now on is reversed.
                self.is_column_reversed = command == 0xA1
            case 0xA4 | 0xA5:
                self.is_entirely_on = command == 0xA5
            case 0xA6 | 0xA7:
                self.is_inverse = command == 0xA7
            case 0xAE:
                self.is_on = False
            case 0xAF:
                self.is_on = True
                self._check_rows()
            case 0xC0 | 0xC8:
                self.is_scan_reversed = command == 0xC8
            case _:
                return False
        return True

    def _check_rows(self) -> None:
        """Say if the driver is for a panel with other rows: its picture is torn into stripes, or cut."""
        height = round(self.attribute("height"))
        if self.line_count != height:
            self.bench.warn(WRONG_ROWS.format(rows=self.line_count, wired=height))

    def _seen_state(self) -> tuple[object, ...]:
        """Return all but the RAM on which the picture depends."""
        if not self.is_lit:
            return (False,)
        return (
            self.is_inverse,
            self.is_entirely_on,
            self.is_scan_reversed,
            self.line_count,
            self.offset,
            self.start_line,
            self.com_pins,
        )

    def _lines(self) -> list[int]:
        """Return the lines of the RAM as numbers; column 0 is the lowest bit."""
        lines = []
        for page in range(PAGES):
            columns = self.ram[page * self.COLUMNS : (page + 1) * self.COLUMNS][::-1]
            for bit_digits in _digits_by_bit():
                lines.append(int(columns.translate(bit_digits), 2))
        return lines

    def _shown_bits(self, line: int, width: int) -> int:
        """Return what a row of the panel shows, its leftmost pixel the highest bit: the last of its columns."""
        mask = (1 << width) - 1
        if self.is_entirely_on:
            return mask
        bits = line >> (self.COLUMNS - width) // 2 & mask
        if self.is_inverse:
            return bits ^ mask
        return bits

    def _line_at(self, row: int) -> int | None:
        """Return the line of the RAM that a row of the panel shows, None if nothing drives it.

        `row` counts from the controller's first output. The outputs are on two sides of the chip, and so are the rows
        of a panel that is higher than a fourth of its width, in turn; the driver must say it (command 0xDA).
        """
        output = row
        if self.attribute("width") <= 2 * self.attribute("height"):
            output = row // 2 + _HALF * (row % 2)
        if self.com_pins & _SWAPPED_HALVES:
            output ^= _HALF
        scan = output
        if self.com_pins & _ALTERNATIVE:
            scan = output % _HALF * 2 + output // _HALF
        if self.is_scan_reversed:
            scan = self.line_count - 1 - scan
        scan = (scan + self.offset) % LINES
        if scan >= self.line_count:
            return None
        return (scan + self.start_line) % LINES


class OledController(OledPanel, BusDevice, ABC):
    """Such a controller behind the control bytes of its I2C transfers."""

    def write(self, data: bytes) -> None:
        """Take a transfer: a control byte for each byte that follows it, or one for all the rest."""
        position = 0
        while position < len(data):
            control = data[position]
            end = len(data)
            if control & _SINGLE_BYTE:
                end = min(position + 2, end)
            for byte in data[position + 1 : end]:
                if control & _IS_DATA:
                    self.store(byte)
                else:
                    self.take_command(byte)
            position = end
        self.finish()

    def read(self, size: int) -> bytes:
        """Return the status: bit 6 says that the display is off."""
        return bytes([0 if self.is_on else 0x40]) * size


@functools.cache
def _digits_by_bit() -> tuple[bytes, ...]:
    """Return for each bit of a byte the table that makes it a digit: b"0" or b"1" for each of the 256 bytes."""
    tables = []
    for bit in range(8):
        tables.append(bytes(_DIGITS[byte >> bit & 1] for byte in range(256)))
    return tuple(tables)


def _snow(size: int) -> bytearray:
    """Return bytes that look like chance and are always the same ones."""
    state = 1
    snow = bytearray()
    for _ in range(size):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        snow.append(state >> 16 & 0xFF)
    return snow
