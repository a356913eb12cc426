"""A BMP180 at register level, with values that are set from outside."""

from __future__ import annotations

from bisect import bisect_left
from struct import pack
from typing import Final

from microclaw.hardware.parts.models import BusDevice
from microclaw.hardware.parts.pressure_compensation import divide

_CALIBRATION: Final = (408, -72, -14383, 32741, 32757, 23153, 6190, 4, -32768, -8711, 2868)
"""AC1 to MD: the example of section 3.5."""
AC1, AC2, AC3, AC4, AC5, AC6, B1, B2, _MB, MC, MD = _CALIBRATION
_CALIBRATION_AT: Final = 0xAA
_ID: Final = 0xD0
_CHIP_ID: Final = 0x55
_RESET: Final = 0xE0
_RESET_WORD: Final = 0xB6
_CONTROL: Final = 0xF4
_OUT: Final = 0xF6
_TEMPERATURE: Final = 0x2E
_PRESSURE: Final = 0x34
_BUSY: Final = 0x20
_TEMPERATURE_MS: Final = 3.0
_PRESSURE_MS: Final = (3.0, 5.0, 9.0, 17.0)
"""Typical times of a measurement; those of the pressure by its oversampling (table 1)."""
_RAW_16: Final = range(0x10000)


class Model(BusDevice):
    """Bosch BST-BMP180-DS000: registers section 4, compensation section 3.5.

    Raw values are found by searching for those that the datasheet's own formulas turn into the wanted ones.
    """

    def reset(self) -> None:
        self._pointer = 0
        self._result = b""
        self._ready_ms = 0.0
        self._registers = bytearray(256)
        self._registers[_ID] = _CHIP_ID
        data = pack(">hhhHHHhhhhh", *_CALIBRATION)
        self._registers[_CALIBRATION_AT : _CALIBRATION_AT + len(data)] = data
        self._registers[_OUT] = 0x80

    def write(self, data: bytes) -> None:
        if not data:
            return
        self._pointer = data[0]
        for register, value in zip(data[0::2], data[1::2], strict=False):
            if register == _RESET and value == _RESET_WORD:
                self.reset()
            elif register == _CONTROL:
                self._begin(value)

    def read(self, size: int) -> bytes:
        self._finish()
        data = bytes(self._registers[(self._pointer + i) & 0xFF] for i in range(size))
        self._pointer = (self._pointer + size) & 0xFF
        return data

    def _begin(self, control: int) -> None:
        """Begin a measurement, or none for a word that the chip does not know."""
        raw_t = bisect_left(_RAW_16, round(self.values["temperature"] * 10), key=lambda raw: b5_of(raw) + 8 >> 4)
        self._result = b""
        self._registers[_CONTROL] = control & ~_BUSY
        if control == _TEMPERATURE:
            duration_ms = _TEMPERATURE_MS
            self._result = (raw_t << 8).to_bytes(3, "big")
        elif control & 0x3F == _PRESSURE:
            oversampling = control >> 6
            duration_ms = _PRESSURE_MS[oversampling]
            wanted_pa = round(self.values["pressure"] * 100)
            b5 = b5_of(raw_t)
            values = range(0x10000 << oversampling)
            raw_p = bisect_left(values, wanted_pa, key=lambda raw: pressure_pa(raw, b5, oversampling))
            self._result = (raw_p << 8 - oversampling).to_bytes(3, "big")
        else:
            return
        self._registers[_CONTROL] |= _BUSY
        self._ready_ms = self.bench.now_ms() + duration_ms

    def _finish(self) -> None:
        """Take the result of a measurement that has ended, and clear the bit of the running one."""
        if self._result and self.bench.now_ms() >= self._ready_ms:
            self._registers[_OUT : _OUT + 3] = self._result
            self._registers[_CONTROL] &= ~_BUSY
            self._result = b""


def b5_of(raw: int) -> int:
    """Return B5, which is 160 to a degree."""
    x1 = (raw - AC6) * AC5 >> 15
    if x1 + MD <= 0:
        # Below what the chip can measure the formula has a pole.
        return -(1 << 20)
    return x1 + divide(MC << 11, x1 + MD)


def pressure_pa(raw: int, b5: int, oversampling: int) -> int:
    b6 = b5 - 4000
    square = b6 * b6 >> 12
    x3 = (B2 * square >> 11) + (AC2 * b6 >> 11)
    b3 = ((AC1 * 4 + x3 << oversampling) + 2) // 4
    x3 = (AC3 * b6 >> 13) + (B1 * square >> 16) + 2 >> 2
    b4 = AC4 * (x3 + 32768) >> 15
    b7 = (raw - b3) * (50000 >> oversampling)
    p = divide(b7 * 2, b4)
    x1 = (p >> 8) * (p >> 8) * 3038 >> 16
    x2 = -7357 * p >> 16
    return p + (x1 + x2 + 3791 >> 4)
