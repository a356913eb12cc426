"""A BME280 at register level, with values that are set from outside. No conversion takes time."""

from __future__ import annotations

from bisect import bisect_left
from struct import pack
from typing import Final

from microclaw.hardware.parts.models import BusDevice

_RAW_20: Final = range((1 << 20) - 1)
_RAW_16: Final = range((1 << 16) - 1)


class Model(BusDevice):
    """Bosch BST-BME280-DS001: register map section 5, compensation section 4.2.3.

    Raw values are found by searching for those that the datasheet's own formulas turn into the wanted ones.
    """

    CHIP_ID: Final = 0x60
    _T: Final = (27504, 26435, -1000)
    _P: Final = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
    _H: Final = (75, 362, 0, 314, 50, 30)

    def reset(self) -> None:
        self._pointer = 0
        self._registers = bytearray(256)
        self._registers[0xD0] = self.CHIP_ID
        self._registers[0x88:0xA0] = pack("<Hhh", *self._T) + pack("<Hhhhhhhhh", *self._P)
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
        wanted_t = round(self.values["temperature"] * 100)
        raw_t = bisect_left(_RAW_20, wanted_t, key=lambda raw: self._temperature(raw)[0])
        fine = self._temperature(raw_t)[1]
        wanted_p = round(self.values["pressure"] * 25600)
        # Pressure falls as its raw value rises.
        raw_p = bisect_left(_RAW_20, -wanted_p, key=lambda raw: -self._pressure(raw, fine))
        wanted_h = round(self.values["humidity"] * 1024)
        raw_h = bisect_left(_RAW_16, wanted_h, key=lambda raw: self._humidity(raw, fine))
        pressure = raw_p if control >> 2 & 7 else 0x80000
        temperature = raw_t if control >> 5 else 0x80000
        self._registers[0xF7:0xFA] = (pressure << 4).to_bytes(3, "big")
        self._registers[0xFA:0xFD] = (temperature << 4).to_bytes(3, "big")
        self._registers[0xFD:0xFF] = (raw_h if humidity else 0x8000).to_bytes(2, "big")

    def _temperature(self, raw: int) -> tuple[int, int]:
        """Return hundredths of a degree, and t_fine."""
        t1, t2, t3 = self._T
        var1 = ((raw >> 3) - (t1 << 1)) * t2 >> 11
        var2 = (((raw >> 4) - t1) * ((raw >> 4) - t1) >> 12) * t3 >> 14
        return ((var1 + var2) * 5 + 128 >> 8, var1 + var2)

    def _pressure(self, raw: int, fine: int) -> int:
        """Return Pa in Q24.8."""
        p1, p2, p3, p4, p5, p6, p7, p8, p9 = self._P
        var1 = fine - 128000
        var2 = var1 * var1 * p6 + (var1 * p5 << 17) + (p4 << 35)
        var1 = (var1 * var1 * p3 >> 8) + (var1 * p2 << 12)
        var1 = ((1 << 47) + var1) * p1 >> 33
        if var1 == 0:
            return 0
        p = _divide(((1048576 - raw << 31) - var2) * 3125, var1)
        var1 = p9 * (p >> 13) * (p >> 13) >> 25
        return (p + var1 + (p8 * p >> 19) >> 8) + (p7 << 4)

    def _humidity(self, raw: int, fine: int) -> int:
        """Return percent in Q22.10."""
        h1, h2, h3, h4, h5, h6 = self._H
        v = fine - 76800
        scale = ((v * h6 >> 10) * ((v * h3 >> 11) + 32768) >> 10) + 2097152
        v = ((raw << 14) - (h4 << 20) - h5 * v + 16384 >> 15) * (scale * h2 + 8192 >> 14)
        v -= ((v >> 15) * (v >> 15) >> 7) * h1 >> 4
        return min(max(v, 0), 419430400) >> 12


def _divide(a: int, b: int) -> int:
    """Divide as C does: towards zero."""
    sign = 1 if (a < 0) == (b < 0) else -1
    return abs(a) // abs(b) * sign
