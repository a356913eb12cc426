"""A TM1637 that takes its two-wire interface edge by edge. It has no keys: their bits read as ones."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import Bench, Display, PinDevice
from microclaw.hardware.parts.wiring import WiredPart
from microclaw.hardware.screens.screen import DOT, Screen

_BYTE_BITS: Final = 8
_REGISTERS: Final = 6
_DATA_COMMAND: Final = 0x40
_CONTROL_COMMAND: Final = 0x80
_ADDRESS_COMMAND: Final = 0xC0
_COMMAND_BITS: Final = 0xC0
_FIXED_ADDRESS: Final = 0x04
_DISPLAY_ON: Final = 0x08
_BRIGHTNESS_BITS: Final = 0x07
_COLON_DIGIT: Final = 1


class Model(Display, PinDevice):
    """Titan Micro TM1637 V2.4. DIO moves while CLK is low; a move while CLK is high is a start or a stop."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._clk = wired.pins["clk"]
        self._dio = wired.pins["dio"]

    def reset(self) -> None:
        self._registers = bytearray(_REGISTERS)
        self._is_on = False
        self._is_address_fixed = False
        self._address: int | None = None
        self._end_transfer()
        self._seen = self.screen()
        # The pull-ups of the module.
        self.bench.pull(self._clk, 1)
        self.bench.pull(self._dio, 1)
        self.bench.drive(self._dio, None)

    def edge(self, role: str, level: int) -> None:
        if role == "dio":
            if self.bench.level(self._clk):
                self._move_while_clock_is_high(level)
        elif not self._is_in_transfer:
            return
        elif level:
            self._clock_rises()
        else:
            self._clock_falls()

    def screen(self) -> Screen:
        digits = int(self.attribute("digits"))
        if not self._is_on:
            segments = bytes(digits)
        elif self.attribute("colon"):
            segments = bytes(self._without_points(digits))
        else:
            segments = bytes(self._registers[:digits])
        mark = ":" if self.attribute("colon") else "."
        return Screen("digits", digits, 1, segments, mark)

    def _without_points(self, digits: int) -> bytearray:
        """Return the digits of a clock: bit 7 is wired at the one before the colon alone."""
        segments = self._registers[:digits]
        for place in range(digits):
            if place != _COLON_DIGIT:
                segments[place] &= ~DOT
        return segments

    def _move_while_clock_is_high(self, level: int) -> None:
        if level:
            self._end_transfer()
            self._look()
        else:
            self._begin_transfer()

    def _begin_transfer(self) -> None:
        self._end_transfer()
        self._is_in_transfer = True

    def _end_transfer(self) -> None:
        self._is_in_transfer = False
        self._is_first_byte = True
        self._bit_count = 0
        self._byte = 0

    def _clock_rises(self) -> None:
        """Take a bit, the lowest first; the ninth clock is the one of ACK."""
        if self._bit_count < _BYTE_BITS:
            self._byte |= self.bench.level(self._dio) << self._bit_count
        self._bit_count += 1

    def _clock_falls(self) -> None:
        """Begin ACK after the eighth bit, and end it after the ninth clock."""
        if self._bit_count == _BYTE_BITS:
            self._take_byte(self._byte)
            self.bench.drive(self._dio, 0)
        elif self._bit_count > _BYTE_BITS:
            self._bit_count = 0
            self._byte = 0
            self.bench.drive(self._dio, None)

    def _take_byte(self, byte: int) -> None:
        if self._is_first_byte:
            self._is_first_byte = False
            self._address = None
            self._carry_out(byte)
        elif self._address is not None and self._address < _REGISTERS:
            self._registers[self._address] = byte
            if not self._is_address_fixed:
                self._address += 1

    def _carry_out(self, command: int) -> None:
        kind = command & _COMMAND_BITS
        if kind == _DATA_COMMAND:
            self._is_address_fixed = bool(command & _FIXED_ADDRESS)
        elif kind == _CONTROL_COMMAND:
            self._is_on = bool(command & _DISPLAY_ON)
            self.bench.show("brightness", command & _BRIGHTNESS_BITS)
        elif kind == _ADDRESS_COMMAND:
            self._address = command & ~_COMMAND_BITS

    def _look(self) -> None:
        """Note at the end of a transfer that the display shows something else; digits that are on the way are not."""
        screen = self.screen()
        if screen != self._seen:
            self._seen = screen
            self.bench.screen_changed()
