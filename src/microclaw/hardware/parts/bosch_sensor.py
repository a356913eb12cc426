"""What the models of the BME280 and the BMP280 share: registers, modes, and the time of a measurement."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Final

from microclaw.hardware.parts.models import BusDevice
from microclaw.hardware.parts.pressure_compensation import (
    CALIBRATION,
    compensate_temperature,
    raw_pressure,
    raw_temperature,
)

ID: Final = 0xD0
RESET: Final = 0xE0
STATUS: Final = 0xF3
CTRL_MEAS: Final = 0xF4
CONFIG: Final = 0xF5
DATA: Final = 0xF7
SKIPPED: Final = 0x80000
"""The raw value of a quantity that is not measured."""
_CALIBRATION_AT: Final = 0x88
_RESET_WORD: Final = 0xB6
_MEASURING: Final = 0x08
_NORMAL: Final = 3
_SAMPLES: Final = (0, 1, 2, 4, 8, 16, 16, 16)
"""How many samples a value of three bits stands for."""


class BoschSensor(BusDevice):
    """Bosch BST-BME280-DS002 and BST-BMP280-DS001: memory map, modes, I2C.

    A measurement takes its typical time, and the registers have its result then. In normal mode the pauses between
    two measurements are left out: after the first one, each read finds present values.
    """

    chip_id: ClassVar[int]
    settings: ClassVar[tuple[int, ...]] = (CTRL_MEAS, CONFIG)
    no_data: ClassVar[bytes]

    def reset(self) -> None:
        self._pointer = 0
        self._ready_ms: float | None = None
        self._result = self.no_data
        self.registers = bytearray(256)
        self.registers[ID] = self.chip_id
        self.registers[_CALIBRATION_AT : _CALIBRATION_AT + len(CALIBRATION)] = CALIBRATION
        self._put_data(self.no_data)

    def write(self, data: bytes) -> None:
        # Register and value alternate; the register pointer does not move by itself while writing.
        if not data:
            return
        self._finish()
        self._pointer = data[0]
        for register, value in zip(data[0::2], data[1::2], strict=False):
            if register == RESET and value == _RESET_WORD:
                self.reset()
            elif register in self.settings:
                self.registers[register] = value
            if register == CTRL_MEAS:
                self._begin()

    def read(self, size: int) -> bytes:
        self._finish()
        data = bytes(self.registers[(self._pointer + place) & 0xFF] for place in range(size))
        self._pointer = (self._pointer + size) & 0xFF
        return data

    @abstractmethod
    def measure(self) -> bytes:
        """Return the registers of data after a measurement of the present values."""

    def duration_ms(self) -> float:
        """Return the typical time of a measurement of temperature and pressure."""
        control = self.registers[CTRL_MEAS]
        duration_ms = 1 + 2.0 * self.samples(control >> 5)
        pressure_samples = self.samples(control >> 2)
        if pressure_samples:
            duration_ms += 2.0 * pressure_samples + 0.5
        return duration_ms

    def samples(self, bits: int) -> int:
        """Return how many samples the lowest three of these bits ask for."""
        return _SAMPLES[bits & 7]

    def temperature_and_pressure(self) -> tuple[bytes, int]:
        """Return the registers of pressure and temperature, and t_fine, which a compensation needs."""
        control = self.registers[CTRL_MEAS]
        raw_t = raw_temperature(self.values["temperature"])
        fine = compensate_temperature(raw_t)[1]
        raw_p = raw_pressure(self.values["pressure"], fine)
        if not self.samples(control >> 2):
            raw_p = SKIPPED
        if not self.samples(control >> 5):
            raw_t = SKIPPED
        return (raw_p << 4).to_bytes(3, "big") + (raw_t << 4).to_bytes(3, "big"), fine

    def _begin(self) -> None:
        """Begin a measurement, or sleep, as the mode says."""
        self._ready_ms = None
        self.registers[STATUS] = 0
        if self.registers[CTRL_MEAS] & _NORMAL:
            self._ready_ms = self.bench.now_ms() + self.duration_ms()
            self._result = self.measure()
            self.registers[STATUS] = _MEASURING

    def _finish(self) -> None:
        """Take the result of a measurement that has ended. After a forced one the chip sleeps."""
        if self._ready_ms is None or self.bench.now_ms() < self._ready_ms:
            return
        self.registers[STATUS] = 0
        if self.registers[CTRL_MEAS] & _NORMAL == _NORMAL:
            self._put_data(self.measure())
            return
        self._put_data(self._result)
        self.registers[CTRL_MEAS] &= ~_NORMAL
        self._ready_ms = None

    def _put_data(self, data: bytes) -> None:
        self.registers[DATA : DATA + len(data)] = data
