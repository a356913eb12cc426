"""A BH1750 at the level of its instructions, with light that is set from outside.

The first value of a mode is there after the measurement time, as programs that do not wait for it read the last one.
"""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import BusDevice

_POWER_DOWN: Final = 0x00
_POWER_ON: Final = 0x01
_RESET: Final = 0x07
_MODES: Final = (0x10, 0x11, 0x13, 0x20, 0x21, 0x23)
_ONE_TIME: Final = 0x20
_H_RESOLUTION_2: Final = 1
_L_RESOLUTION: Final = 3
_TIME_HIGH: Final = 0b01000_000
_TIME_LOW: Final = 0b011_00000
_USUAL_TIME: Final = 69
_H_MODE_MS: Final = 120.0
_L_MODE_MS: Final = 16.0
_COUNTS_PER_LUX: Final = 1.2


class Model(BusDevice):
    """Rohm BH1750FVI: one byte is an instruction, two bytes are the last value, the high byte first."""

    def reset(self) -> None:
        self._mode: int | None = None
        self._is_on = False
        self._time = _USUAL_TIME
        self._data = 0
        self._ready_ms = 0.0

    def write(self, data: bytes) -> None:
        for instruction in data:
            self._act(instruction)

    def read(self, size: int) -> bytes:
        self._measure()
        pair = self._data.to_bytes(2, "big")
        return pair[:size].ljust(size, b"\xff")

    def _act(self, instruction: int) -> None:
        if instruction == _POWER_DOWN:
            self._is_on = False
            self._mode = None
        elif instruction == _POWER_ON:
            self._is_on = True
        elif instruction == _RESET and self._is_on:
            self._data = 0
        elif instruction in _MODES:
            self._begin(instruction)
        elif instruction & 0b11111_000 == _TIME_HIGH:
            self._time = (instruction & 0b111) << 5 | self._time & 0b11111
        elif instruction & 0b111_00000 == _TIME_LOW:
            self._time = self._time & 0b111_00000 | instruction & 0b11111

    def _begin(self, mode: int) -> None:
        """Begin to measure in a mode; the chip switches itself on."""
        self._is_on = True
        self._mode = mode
        self._ready_ms = self.bench.now_ms() + self._duration_ms(mode)

    def _measure(self) -> None:
        """Take the value of a measurement that is finished; a one-time mode then ends."""
        mode = self._mode
        if mode is None or self.bench.now_ms() < self._ready_ms:
            return
        self._data = self._counts(mode)
        if mode >= _ONE_TIME:
            self._mode = None
            self._is_on = False

    def _counts(self, mode: int) -> int:
        counts = self.values["light"] * _COUNTS_PER_LUX * self._time / _USUAL_TIME
        if mode & 3 == _H_RESOLUTION_2:
            counts *= 2
        return min(round(counts), 0xFFFF)

    def _duration_ms(self, mode: int) -> float:
        if mode & 3 == _L_RESOLUTION:
            return _L_MODE_MS * self._time / _USUAL_TIME
        return _H_MODE_MS * self._time / _USUAL_TIME
