"""An INA219 at register level, with values that are set from outside.

A conversion takes no time: a chip needs 1 ms for both values at 12 bits, and up to 136 ms with averages.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack
from typing import Final

from microclaw.hardware.parts.models import BusDevice
from microclaw.hardware.parts.pressure_compensation import divide


class Model(BusDevice):
    """TI SBOS448: 16-bit big-endian registers; the shunt is 0.1 ohm, as on the usual breakout boards."""

    SHUNT_OHM: Final = 0.1

    def reset(self) -> None:
        self._pointer = 0
        self._config = 0x399F
        self._calibration = 0

    def computed(self) -> Mapping[str, float]:
        return {"power": self.values["voltage"] * self.values["current"]}

    def write(self, data: bytes) -> None:
        if data:
            self._pointer = data[0]
        if len(data) >= 3:
            value = int.from_bytes(data[1:3], "big")
            if self._pointer == 0:
                self._config = 0x399F if value & 0x8000 else value
                self._calibration = 0 if value & 0x8000 else self._calibration
            elif self._pointer == 5:
                self._calibration = value & 0xFFFE

    def read(self, size: int) -> bytes:
        word = pack(">H", self._register() & 0xFFFF)
        return (word * (size // 2 + 1))[:size]

    def _register(self) -> int:
        # Shunt: 10 uV a bit. Bus: 4 mV a bit in bits 3-15, bit 1 says that a conversion is ready.
        shunt = _clamp16(round(self.values["current"] * self.SHUNT_OHM * 100))
        bus = min(round(self.values["voltage"] / 0.004), 0x1FFF)
        current = _clamp16(divide(shunt * self._calibration, 4096))
        power = min(divide(abs(current) * bus, 5000), 0xFFFF)
        values = (self._config, shunt, bus << 3 | 2, power, current, self._calibration)
        if self._pointer < len(values):
            return values[self._pointer]
        return 0


def _clamp16(value: int) -> int:
    return max(-32768, min(32767, value))
