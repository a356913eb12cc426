"""An MPU6050 at register level, with values that are set from outside. It has no FIFO and no motion processor."""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack
from typing import Final

from microclaw.hardware.parts.models import BusDevice

_MOTION_THRESHOLD: Final = 0x1F
_GYRO_CONFIG: Final = 0x1B
_ACCEL_CONFIG: Final = 0x1C
_INT_ENABLE: Final = 0x38
_INT_STATUS: Final = 0x3A
_DATA: Final = 0x3B
_DATA_SIZE: Final = 14
_POWER: Final = 0x6B
_WHO_AM_I: Final = 0x75
_READ_ONLY: Final = range(_INT_STATUS, 0x61)
_RESET: Final = 0x80
_SLEEP: Final = 0x40
_MOTION: Final = 0x40
_DATA_READY: Final = 0x01
_STEPS_PER_G: Final = (16384, 8192, 4096, 2048)
_STEPS_PER_DPS: Final = (131.0, 65.5, 32.8, 16.4)
_MOTION_STEP_G: Final = 0.002
_AXES: Final = ("x", "y", "z")


class Model(BusDevice):
    """RM-MPU-6000A-00, section 4: registers; what is measured comes with the high byte first.

    Asleep, as at power on, it measures nothing: the registers keep what they had.
    """

    def reset(self) -> None:
        self._pointer = 0
        self._registers = bytearray(128)
        self._registers[_POWER] = _SLEEP
        self._registers[_WHO_AM_I] = 0x68
        self._moved_from = dict(self.values)

    def values_changed(self, values: Mapping[str, float]) -> None:
        """Note a motion: a change of the acceleration by more than the threshold since the last one."""
        least_g = max(self._registers[_MOTION_THRESHOLD], 1) * _MOTION_STEP_G
        for name, value in values.items():
            if name.startswith("acceleration") and abs(value - self._moved_from[name]) > least_g:
                self._note(_MOTION)
        self._moved_from = dict(self.values)

    def write(self, data: bytes) -> None:
        if not data:
            return
        self._pointer = data[0]
        for value in data[1:]:
            self._set(self._pointer & 0x7F, value)
            self._pointer += 1

    def read(self, size: int) -> bytes:
        if not self._registers[_POWER] & _SLEEP:
            self._measure()
        data = bytearray()
        for register in range(self._pointer, self._pointer + size):
            data.append(self._registers[register & 0x7F])
            if register == _INT_STATUS:
                # Reading it clears it.
                self._registers[_INT_STATUS] = 0
        self._pointer += size
        return bytes(data)

    def _set(self, register: int, value: int) -> None:
        if register in _READ_ONLY or register == _WHO_AM_I:
            return
        if register == _POWER and value & _RESET:
            self.reset()
            return
        self._registers[register] = value

    def _measure(self) -> None:
        steps_per_g = _STEPS_PER_G[self._registers[_ACCEL_CONFIG] >> 3 & 3]
        steps_per_dps = _STEPS_PER_DPS[self._registers[_GYRO_CONFIG] >> 3 & 3]
        accelerations = [_word(self.values[f"acceleration_{axis}"] * steps_per_g) for axis in _AXES]
        rotations = [_word(self.values[f"rotation_{axis}"] * steps_per_dps) for axis in _AXES]
        # Section 4.18: degrees are the value / 340 + 36.53.
        temperature = _word((self.values["temperature"] - 36.53) * 340)
        data = pack(">7h", *accelerations, temperature, *rotations)
        self._registers[_DATA : _DATA + _DATA_SIZE] = data
        self._note(_DATA_READY)

    def _note(self, flag: int) -> None:
        """Set a bit of the interrupts' status if that interrupt is enabled; new data is always noted."""
        enabled = self._registers[_INT_ENABLE] | _DATA_READY
        self._registers[_INT_STATUS] |= flag & enabled


def _word(value: float) -> int:
    return max(-32768, min(32767, round(value)))
