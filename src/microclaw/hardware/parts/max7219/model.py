"""A chain of MAX7219 at register level, with matrices of LEDs or with digits of seven segments."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import Bench, Display, SpiDevice
from microclaw.hardware.parts.wiring import WiredPart
from microclaw.hardware.screens.screen import DOT, Screen

_WORD_BITS: Final = 16
_DIGITS: Final = 8
_DECODE_MODE: Final = 0x9
_INTENSITY: Final = 0xA
_SCAN_LIMIT: Final = 0xB
_SHUTDOWN: Final = 0xC
_DISPLAY_TEST: Final = 0xF
_CODE_B: Final = bytes.fromhex("7e306d79335b5f707f7b014f370e6700")
"""The segments A (bit 6) to G (bit 0) of 0 to 9, -, E, H, L, P and blank."""


def _reversed_bits(byte: int, count: int) -> int:
    return int(f"{byte:0{count}b}"[::-1], 2)


_MIRRORED: Final = bytes(_reversed_bits(row, 8) for row in range(256))
_FROM_A: Final = bytes((row & DOT) | _reversed_bits(row & ~DOT, 7) for row in range(256))
"""Segments of a digit with A at bit 0, as a screen has them, by those of the chip."""


class Chip:
    """The registers of one chip, as after power on: shut down, one digit is scanned, nothing is decoded."""

    def __init__(self) -> None:
        self.registers = bytearray(_WORD_BITS)

    def carry_out(self, word: int) -> None:
        """Take the 16 bits that stand in the chip when LOAD rises: its address and its data."""
        self.registers[word >> 8 & 0xF] = word & 0xFF

    def rows(self) -> bytes:
        """Return the lit segments of digits 0 to 7: DP is bit 7, then A to G."""
        registers = self.registers
        if registers[_DISPLAY_TEST] & 1:
            return b"\xff" * _DIGITS
        if not registers[_SHUTDOWN] & 1:
            return bytes(_DIGITS)
        rows = bytearray(_DIGITS)
        for digit in range((registers[_SCAN_LIMIT] & 7) + 1):
            row = registers[digit + 1]
            if registers[_DECODE_MODE] >> digit & 1:
                row = row & DOT | _CODE_B[row & 0xF]
            rows[digit] = row
        return bytes(rows)


class Model(Display, SpiDevice):
    """Maxim MAX7219. What is shifted beyond the last chip is lost; a chip without new data repeats its old."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._count = int(self.attribute("count"))
        self._digit_count = int(self.attribute("digits"))
        self._mask = (1 << _WORD_BITS * self._count) - 1

    def reset(self) -> None:
        self._shifted = 0
        self._chips = [Chip() for _ in range(self._count)]
        self._seen = self.screen()

    def transfer(self, data: bytes) -> bytes:
        added = int.from_bytes(data, "big")
        self._shifted = (self._shifted << 8 * len(data) | added) & self._mask
        # DOUT leads to the next chip.
        return bytes(len(data))

    def deselected(self) -> None:
        first = self._chips[0].registers
        intensity = first[_INTENSITY]
        for place, chip in enumerate(self._chips):
            chip.carry_out(self._shifted >> _WORD_BITS * place & 0xFFFF)
        if first[_INTENSITY] != intensity:
            self.bench.show("brightness", first[_INTENSITY] & 0xF)
        screen = self.screen()
        if screen != self._seen:
            self._seen = screen
            self.bench.screen_changed()

    def screen(self) -> Screen:
        chips_from_left = [chip.rows() for chip in reversed(self._chips)]
        if self._digit_count:
            return self._digits(chips_from_left)
        return self._pixels(chips_from_left)

    def _digits(self, chips: list[bytes]) -> Screen:
        """Return the digits: on the usual modules digit 0 is on the right."""
        segments = bytearray()
        for rows in chips:
            from_left = rows[: self._digit_count][::-1]
            segments += from_left.translate(_FROM_A)
        return Screen("digits", len(segments), 1, bytes(segments))

    def _pixels(self, chips: list[bytes]) -> Screen:
        pixels = bytearray()
        for line in range(_DIGITS):
            for rows in chips:
                pixels.append(rows[line])
        if self.attribute("mirrored"):
            pixels = pixels.translate(_MIRRORED)
        return Screen("pixels", 8 * len(chips), _DIGITS, bytes(pixels))
