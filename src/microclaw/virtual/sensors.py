"""I2C sensors at register level: a BME280 and an INA219, with values that are set from outside. No bus timing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Mapping
from struct import pack
from typing import Final

from microclaw.errors import CallRejected

# name -> (default, lowest, highest)
_Range = tuple[float, float, float]


class I2cSensor(ABC):
    """A device with a register pointer: the first byte written chooses the register. Its values come from outside."""

    ranges: Mapping[str, _Range]

    def __init__(self, address: int) -> None:
        self.address = address
        self._values = {name: default for name, (default, _, _) in self.ranges.items()}
        self.reset()

    @abstractmethod
    def write(self, data: bytes) -> None: ...

    @abstractmethod
    def read(self, size: int) -> bytes: ...

    @abstractmethod
    def reset(self) -> None:
        """Power on: registers as the datasheet says. The values that were set stay."""

    def values(self) -> dict[str, float]:
        return dict(self._values)

    def set_values(self, values: Mapping[str, float]) -> None:
        """Set some of them; CallRejected, and nothing changed, for one that is unknown or beyond the datasheet."""
        for name, value in values.items():
            if name not in self.ranges:
                raise CallRejected(f"no value {name!r}", next_step=f"known values: {', '.join(self.ranges)}")
            _, low, high = self.ranges[name]
            if not low <= value <= high:
                raise CallRejected(f"{name} {value} is out of range", next_step=f"choose {low} to {high}")
        self._values.update(values)


class Bme280(I2cSensor):
    """Bosch BST-BME280-DS001: register map section 5, compensation section 4.2.3.

    Raw values are found by searching for those that the datasheet's own formulas turn into the wanted ones.
    """

    ranges: Mapping[str, _Range] = {
        "temperature_c": (22.5, -40.0, 85.0),
        "humidity_pct": (45.0, 0.0, 100.0),
        "pressure_hpa": (1013.25, 300.0, 1100.0),
    }
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
                    self._registers[0xF4] &= 0xFC  # forced mode: one measurement, then asleep again

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
        wanted_t = round(self._values["temperature_c"] * 100)
        raw_t = bisect_left(_RAW_20, wanted_t, key=lambda raw: self._temperature(raw)[0])
        fine = self._temperature(raw_t)[1]
        wanted_p = round(self._values["pressure_hpa"] * 25600)
        # Pressure falls as its raw value rises.
        raw_p = bisect_left(_RAW_20, -wanted_p, key=lambda raw: -self._pressure(raw, fine))
        wanted_h = round(self._values["humidity_pct"] * 1024)
        raw_h = bisect_left(_RAW_16, wanted_h, key=lambda raw: self._humidity(raw, fine))
        pressure = raw_p if control >> 2 & 7 else 0x80000
        temperature = raw_t if control >> 5 else 0x80000
        self._registers[0xF7:0xFA] = (pressure << 4).to_bytes(3, "big")
        self._registers[0xFA:0xFD] = (temperature << 4).to_bytes(3, "big")
        self._registers[0xFD:0xFF] = (raw_h if humidity else 0x8000).to_bytes(2, "big")

    def _temperature(self, raw: int) -> tuple[int, int]:
        """Hundredths of a degree, and t_fine."""
        t1, t2, t3 = self._T
        var1 = ((raw >> 3) - (t1 << 1)) * t2 >> 11
        var2 = (((raw >> 4) - t1) * ((raw >> 4) - t1) >> 12) * t3 >> 14
        return ((var1 + var2) * 5 + 128 >> 8, var1 + var2)

    def _pressure(self, raw: int, fine: int) -> int:
        """Pa in Q24.8."""
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
        """Percent in Q22.10."""
        h1, h2, h3, h4, h5, h6 = self._H
        v = fine - 76800
        scale = ((v * h6 >> 10) * ((v * h3 >> 11) + 32768) >> 10) + 2097152
        v = ((raw << 14) - (h4 << 20) - h5 * v + 16384 >> 15) * (scale * h2 + 8192 >> 14)
        v -= ((v >> 15) * (v >> 15) >> 7) * h1 >> 4
        return min(max(v, 0), 419430400) >> 12


class Ina219(I2cSensor):
    """TI SBOS448: 16-bit big-endian registers; the shunt is 0.1 ohm, as on the usual breakout boards."""

    ranges: Mapping[str, _Range] = {"voltage_v": (3.3, 0.0, 26.0), "current_ma": (50.0, -3200.0, 3200.0)}
    SHUNT_OHM: Final = 0.1

    def reset(self) -> None:
        self._pointer = 0
        self._config = 0x399F
        self._calibration = 0

    def values(self) -> dict[str, float]:
        power_mw = self._values["voltage_v"] * self._values["current_ma"]
        return {**self._values, "power_mw": power_mw}

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
        shunt = _clamp16(round(self._values["current_ma"] * self.SHUNT_OHM * 100))
        bus = min(round(self._values["voltage_v"] / 0.004), 0x1FFF)
        current = _clamp16(_divide(shunt * self._calibration, 4096))
        power = min(_divide(abs(current) * bus, 5000), 0xFFFF)
        values = (self._config, shunt, bus << 3 | 2, power, current, self._calibration)
        if self._pointer < len(values):
            return values[self._pointer]
        return 0


MODELS: dict[str, Callable[[int], I2cSensor]] = {"bme280": Bme280, "ina219": Ina219}
_RAW_20 = range((1 << 20) - 1)
_RAW_16 = range((1 << 16) - 1)
USUAL: Final = {"bme280": 0x76, "ina219": 0x40}
"""The addresses that their makers give them."""


def _divide(a: int, b: int) -> int:
    """C's division: towards zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _clamp16(value: int) -> int:
    return max(-32768, min(32767, value))
