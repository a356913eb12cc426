"""A BMP280 at register level, with values that are set from outside. No conversion takes time."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import BusDevice
from microclaw.hardware.parts.pressure_compensation import (
    CALIBRATION,
    compensate_temperature,
    raw_pressure,
    raw_temperature,
)

_CHIP_ID: Final = 0x58
_ID: Final = 0xD0
_RESET: Final = 0xE0
_RESET_WORD: Final = 0xB6
_CTRL_MEAS: Final = 0xF4
_CONFIG: Final = 0xF5
_DATA: Final = 0xF7
_SKIPPED: Final = 0x80000
_NORMAL: Final = 3


class Model(BusDevice):
    """Bosch BST-BMP280-DS001: register map section 4.3, writing and reading section 5.2."""

    def reset(self) -> None:
        self._pointer = 0
        self._registers = bytearray(256)
        self._registers[_ID] = _CHIP_ID
        self._registers[0x88:0xA0] = CALIBRATION
        self._registers[_DATA : _DATA + 6] = bytes.fromhex("800000800000")

    def write(self, data: bytes) -> None:
        # Register and value alternate; the register pointer does not move by itself while writing.
        if not data:
            return
        self._pointer = data[0]
        for register, value in zip(data[0::2], data[1::2], strict=False):
            if register == _RESET and value == _RESET_WORD:
                self.reset()
            elif register in (_CTRL_MEAS, _CONFIG):
                self._registers[register] = value
            if register == _CTRL_MEAS and value & 3:
                self._measure()
                if value & 3 != _NORMAL:
                    # Forced mode: one measurement, then asleep again.
                    self._registers[_CTRL_MEAS] &= 0xFC

    def read(self, size: int) -> bytes:
        if self._registers[_CTRL_MEAS] & 3 == _NORMAL:
            self._measure()
        data = bytes(self._registers[(self._pointer + i) & 0xFF] for i in range(size))
        self._pointer = (self._pointer + size) & 0xFF
        return data

    def _measure(self) -> None:
        """Sample into 0xF7..0xFC; a quantity whose oversampling is 0 is skipped."""
        control = self._registers[_CTRL_MEAS]
        raw_t = raw_temperature(self.values["temperature"])
        fine = compensate_temperature(raw_t)[1]
        raw_p = raw_pressure(self.values["pressure"], fine)
        if not control >> 2 & 7:
            raw_p = _SKIPPED
        if not control >> 5:
            raw_t = _SKIPPED
        self._registers[_DATA : _DATA + 3] = (raw_p << 4).to_bytes(3, "big")
        self._registers[_DATA + 3 : _DATA + 6] = (raw_t << 4).to_bytes(3, "big")
