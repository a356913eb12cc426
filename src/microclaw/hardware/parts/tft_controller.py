"""What the models of the controllers of color TFTs on SPI have in common: their RAM, and how a panel shows it."""

from __future__ import annotations

import functools
import hashlib
from abc import ABC, abstractmethod
from array import array
from typing import ClassVar, Final

from microclaw.hardware.parts.models import Display, SpiDevice
from microclaw.hardware.screens.screen import COLOR_BYTES, Screen

COLUMNS: Final = 240
LINES: Final = 320
_PIXEL: Final = "H"
_BITS_18: Final = 6
_BYTES_18: Final = 3
_MIRRORED_LINES: Final = 0x80
_MIRRORED_COLUMNS: Final = 0x40
_EXCHANGED: Final = 0x20
_BGR: Final = 0x08
_RAMWR: Final = 0x2C
_RAMWRC: Final = 0x3C


class TftController(SpiDevice, Display, ABC):
    """A controller with a RAM of 240 x 320 pixels in colors of 16 bits; `dc` says what a byte is: 0 for a command.

    The picture stands as the program draws it: people turn a display so that they can read it. One that is drawn in a
    mirror is shown so.
    """

    # Sent in mode 2, a bit still holds at the rising edge at which it is taken.
    MODES = (0, 2, 3)
    IS_BGR: ClassVar[bool] = False
    """True if the panel has blue first: colors are right with the bit BGR of MADCTL."""
    IS_INVERSE: ClassVar[bool] = False
    """True if the panel shows right colors with INVON."""
    IS_MIRRORED: ClassVar[bool] = False
    """True if the panel has its first column on the right side."""

    def reset(self) -> None:
        """Return to the state at power on. The RAM has any content then: the same snow each time."""
        self._ram = array(_PIXEL, _snow())
        self._reset_registers()
        if "bl" in self.wired.pins:
            # Modules light the panel as long as nothing pulls the pin down.
            self.bench.pull(self.wired.pins["bl"], 1)

    def edge(self, role: str, level: int) -> None:
        if role == "rst" and not level:
            self._reset_registers()
            self.bench.screen_changed()
        elif role == "bl":
            self.bench.screen_changed()
        super().edge(role, level)

    def pwm_changed(self, role: str) -> None:
        if role == "bl":
            self.bench.screen_changed()

    def transfer(self, data: bytes) -> bytes:
        """Take bytes of a command, of its arguments or of the picture. Nothing is read from it."""
        pins = self.wired.pins
        is_held = "rst" in pins and not self.bench.level(pins["rst"])
        if is_held:
            return bytes(len(data))
        if not self.bench.level(pins["dc"]):
            for command in data:
                self._begin(command)
        elif self._command in (_RAMWR, _RAMWRC):
            self._store(data)
        else:
            self._take_arguments(data)
        return bytes(len(data))

    @property
    def is_lit(self) -> bool:
        """True if the panel is awake and on, and has light behind it."""
        is_dark = "bl" in self.wired.pins and not self.active_share("bl")
        return self._is_awake and self._is_on and not is_dark

    @abstractmethod
    def window(self) -> tuple[int, int, int, int]:
        """Return the part of the RAM that the panel shows: its first column and line, its width and height."""

    def screen(self) -> Screen:
        _, _, width, height = self.window()
        if self._access & _EXCHANGED:
            width, height = height, width
        pixel_count = width * height
        if not self.is_lit:
            return Screen("colors", width, height, bytes(pixel_count * COLOR_BYTES))
        colors = int.from_bytes(self._upright().tobytes(), "big")
        if self._is_inverse != self.IS_INVERSE:
            colors ^= _repeated(0xFFFF, pixel_count)
        if bool(self._access & _BGR) != self.IS_BGR:
            red = colors & _repeated(0xF800, pixel_count)
            blue = colors & _repeated(0x001F, pixel_count)
            colors = colors & _repeated(0x07E0, pixel_count) | red >> 11 | blue << 11
        return Screen("colors", width, height, colors.to_bytes(pixel_count * COLOR_BYTES, "big"))

    def _panel(self) -> array[int]:
        """Return what the panel gets of the RAM, line by line."""
        left, top, width, height = self.window()
        panel = array(_PIXEL)
        for line in range(top, top + height):
            start = self._ram_line(line) * COLUMNS + left
            panel += self._ram[start : start + width]
        return panel

    def _upright(self) -> array[int]:
        """Return the panel's pixels as the program draws them, line by line."""
        _, _, width, height = self.window()
        panel = self._panel()
        is_exchanged = bool(self._access & _EXCHANGED)
        has_columns_mirrored = bool(self._access & _MIRRORED_COLUMNS)
        has_lines_mirrored = bool(self._access & _MIRRORED_LINES)
        is_in_mirror = is_exchanged ^ has_columns_mirrored ^ has_lines_mirrored ^ self.IS_MIRRORED
        if is_exchanged:
            rows = [panel[column::width] for column in range(width)]
            is_upside_down = has_columns_mirrored
            is_backwards = has_lines_mirrored
        else:
            rows = [panel[line * width : (line + 1) * width] for line in range(height)]
            is_upside_down = has_lines_mirrored
            is_backwards = has_columns_mirrored
        if is_upside_down:
            rows.reverse()
        picture = array(_PIXEL)
        for row in rows:
            if is_backwards != is_in_mirror:
                row.reverse()
            picture += row
        return picture

    def _reset_registers(self) -> None:
        """Return to the state after a reset; the RAM keeps what it has."""
        self._command = 0
        self._arguments = b""
        self._is_awake = False
        self._is_on = False
        self._is_inverse = False
        self._access = 0
        self._pixel_bits = _BITS_18
        self._columns = (0, COLUMNS - 1)
        self._lines = (0, LINES - 1)
        # The place in the window at which the next pixel comes, and the bytes of a pixel that is not complete.
        self._place = 0
        self._rest = b""
        # Vertical scrolling: the fixed lines above, the lines that move, and the one that is the first of them.
        self._scrolled = (0, LINES, 0)

    def _begin(self, command: int) -> None:
        """Begin a command; those without arguments are carried out."""
        before = (self.is_lit, self._is_inverse)
        self._command = command
        self._arguments = b""
        self._rest = b""
        match command:
            case 0x01:
                self._reset_registers()
            case 0x10 | 0x11:
                self._is_awake = command == 0x11
            case 0x20 | 0x21:
                self._is_inverse = command == 0x21
            case 0x28 | 0x29:
                self._is_on = command == 0x29
            case 0x2C:
                self._place = 0
        if (self.is_lit, self._is_inverse) != before:
            self.bench.screen_changed()

    def _take_arguments(self, data: bytes) -> None:
        """Take arguments of the command; it is carried out when it has them all."""
        self._arguments += data
        arguments = self._arguments
        match self._command:
            case 0x2A if len(arguments) >= 4:
                self._columns = _range(arguments)
            case 0x2B if len(arguments) >= 4:
                self._lines = _range(arguments)
            case 0x33 if len(arguments) >= 6:
                self._scrolled = (_word(arguments, 0), _word(arguments, 2), self._scrolled[2])
            case 0x36:
                self._access = arguments[0]
            case 0x37 if len(arguments) >= 2:
                self._scrolled = (*self._scrolled[:2], _word(arguments, 0))
            case 0x3A:
                self._set_pixel_bits(arguments[0] & 7)
            case _:
                return
        if self._command in (0x33, 0x36, 0x37) and self.is_lit:
            self.bench.screen_changed()

    def _set_pixel_bits(self, code: int) -> None:
        self._pixel_bits = code
        if code not in (5, _BITS_18):
            self.bench.warn(f"COLMOD 0x{code:02x} is not simulated: 0x55 has 16 bits a pixel, 0x66 has 18")

    def _store(self, data: bytes) -> None:
        """Take bytes of the picture, which fill the window line by line and begin again at its end."""
        pixels = self._pixels(self._rest + data)
        first_column, last_column = self._columns
        first_line, last_line = self._lines
        width = last_column - first_column + 1
        height = last_line - first_line + 1
        if width < 1 or height < 1 or not pixels:
            return
        done = 0
        while done < len(pixels):
            line, column = divmod(self._place, width)
            count = min(width - column, len(pixels) - done)
            self._store_run(first_column + column, first_line + line, pixels[done : done + count])
            done += count
            self._place = (self._place + count) % (width * height)
        if self.is_lit:
            self.bench.screen_changed()

    def _pixels(self, data: bytes) -> array[int]:
        """Return whole pixels of 16 bits; what is left over waits for the rest of its pixel."""
        pixel_bytes = COLOR_BYTES
        if self._pixel_bits == _BITS_18:
            pixel_bytes = _BYTES_18
        end = len(data) // pixel_bytes * pixel_bytes
        self._rest = data[end:]
        colors = data[:end]
        if pixel_bytes == _BYTES_18:
            colors = _colors_of_18_bits(colors)
        return array(_PIXEL, colors)

    def _store_run(self, column: int, line: int, pixels: array[int]) -> None:
        """Store pixels of one line of the window, in the direction that MADCTL says; what is outside is lost."""
        line_count = LINES
        column_count = COLUMNS
        if self._access & _EXCHANGED:
            line_count = COLUMNS
            column_count = LINES
        pixels = pixels[: max(0, column_count - column)]
        if line >= line_count or not pixels:
            return
        step_x = 1
        step_y = COLUMNS
        start = 0
        if self._access & _MIRRORED_COLUMNS:
            step_x = -1
            start += COLUMNS - 1
        if self._access & _MIRRORED_LINES:
            step_y = -COLUMNS
            start += (LINES - 1) * COLUMNS
        if self._access & _EXCHANGED:
            step_x, step_y = step_y, step_x
        start += column * step_x + line * step_y
        end: int | None = start + len(pixels) * step_x
        if end is not None and end < 0:
            end = None
        self._ram[start:end:step_x] = pixels

    def _ram_line(self, line: int) -> int:
        """Return the line of the RAM that a line of the panel shows."""
        fixed, count, first = self._scrolled
        is_scrolled = fixed <= line < fixed + count
        if not is_scrolled:
            return line
        return min(fixed + (line - fixed + first - fixed) % count, LINES - 1)


@functools.cache
def _snow() -> bytes:
    """Return bytes for the RAM that look like chance and are always the same ones."""
    return hashlib.shake_128(b"snow").digest(COLUMNS * LINES * COLOR_BYTES)


def _word(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 2], "big")


def _range(arguments: bytes) -> tuple[int, int]:
    return _word(arguments, 0), _word(arguments, 2)


@functools.cache
def _repeated(pixel: int, count: int) -> int:
    """Return a number that has the pixel `count` times."""
    return int.from_bytes(pixel.to_bytes(COLOR_BYTES, "big") * count, "big")


def _colors_of_18_bits(data: bytes) -> bytes:
    """Return pixels of 16 bits for such of three bytes, each with its color in the highest bits."""
    count = len(data) // _BYTES_18
    red = int.from_bytes(data[0::3], "big")
    green = int.from_bytes(data[1::3], "big")
    blue = int.from_bytes(data[2::3], "big")
    high = red & _bytes_of(0xF8, count) | green >> 5 & _bytes_of(0x07, count)
    low = green << 3 & _bytes_of(0xE0, count) | blue >> 3 & _bytes_of(0x1F, count)
    colors = bytearray(COLOR_BYTES * count)
    colors[0::2] = high.to_bytes(count, "big")
    colors[1::2] = low.to_bytes(count, "big")
    return bytes(colors)


def _bytes_of(byte: int, count: int) -> int:
    return int.from_bytes(bytes([byte]) * count, "big")
