"""A BME280 at register level, with values that are set from outside. No conversion takes time."""

from __future__ import annotations

from bisect import bisect_left
from struct import pack
from typing import Final

from microclaw.hardware.parts.models import BusDevice
from microclaw.hardware.parts.pressure_compensation import (
    CALIBRATION,
    compensate_temperature,
    raw_pressure,
    raw_temperature,
)

_RAW_16: Final = range((1 << 16) - 1)


class Model(BusDevice):
    """Bosch BST-BME280-DS001: register map section 5, compensation section 4.2.3.

    Raw values are found by searching for those that the datasheet's own formulas turn into the wanted ones.
    """

    CHIP_ID: Final = 0x60
    _H: Final = (75, 362, 0, 314, 50, 30)

    def reset(self) -> None:
        self._pointer = 0
        self._registers = bytearray(256)
        self._registers[0xD0] = self.CHIP_ID
        self._registers[0x88:0xA0] = CALIBRATION
        h1, h2, h3, h4, h5, h6 = self._H
        self._registers[0xA1] = h1
        h45 = bytes([h4 >> 4 & 0xFF, (h4 & 0xF) | (h5 & 0xF) << 4, h5 >> 4 & 0xFF])
        self._registers[0xE1:0xE8] = pack("<hB", h2, h3) + h45 + pack("<b", h6)
        self._registers[0xF7:0xFF] = bytes.fromhex("8000008000008000")

    def write(self, data: bytes) -> None:
        # Section 6.2.1: register and value alternate; the register pointer does not move by itself while writing.
        if not data:
            return
        self._pointer = data[0]
        for register, value in zip(data[0::2], data[1::2], strict=False):
            if register == 0xE0 and value == 0xB6:
                self.reset()
            elif register in (0xF2, 0xF4, 0xF5):
                self._registers[register] = value
                if register == 0xF4 and value & 3:
                    self._measure()
                if register == 0xF4 and value & 3 in (1, 2):
                    # Forced mode: one measurement, then asleep again.
                    self._registers[0xF4] &= 0xFC

    def read(self, size: int) -> bytes:
        if self._registers[0xF4] & 3 == 3:
            self._measure()
        data = bytes(self._registers[(self._pointer + i) & 0xFF] for i in range(size))
        self._pointer = (self._pointer + size) & 0xFF
        return data

    def _measure(self) -> None:
        """Sample into 0xF7..0xFE; a quantity whose oversampling is 0 is skipped and reads 0x80000 (0x8000)."""
        control = self._registers[0xF4]
        humidity = self._registers[0xF2] & 7
        raw_t = raw_temperature(self.values["temperature"])
        fine = compensate_temperature(raw_t)[1]
        raw_p = raw_pressure(self.values["pressure"], fine)
        wanted_h = round(self.values["humidity"] * 1024)
        raw_h = bisect_left(_RAW_16, wanted_h, key=lambda raw: self._humidity(raw, fine))
        pressure = raw_p if control >> 2 & 7 else 0x80000
        temperature = raw_t if control >> 5 else 0x80000
        self._registers[0xF7:0xFA] = (pressure << 4).to_bytes(3, "big")
        self._registers[0xFA:0xFD] = (temperature << 4).to_bytes(3, "big")
        self._registers[0xFD:0xFF] = (raw_h if humidity else 0x8000).to_bytes(2, "big")

    def _humidity(self, raw: int, fine: int) -> int:
        """Return percent in Q22.10."""
        h1, h2, h3, h4, h5, h6 = self._H
        v = fine - 76800
        scale = ((v * h6 >> 10) * ((v * h3 >> 11) + 32768) >> 10) + 2097152
        v = ((raw << 14) - (h4 << 20) - h5 * v + 16384 >> 15) * (scale * h2 + 8192 >> 14)
        v -= ((v >> 15) * (v >> 15) >> 7) * h1 >> 4
        return min(max(v, 0), 419430400) >> 12
