"""I2C sensors at register level: a BME280 and an INA219, with values that are set from outside. No bus timing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class I2cSensor(Protocol):
    """A device with a register pointer: the first byte written chooses the register."""

    address: int

    def write(self, data: bytes) -> None: ...
    def read(self, size: int) -> bytes: ...
    def values(self) -> dict[str, float]: ...
    def set_values(self, values: Mapping[str, float]) -> None: ...
    def reset(self) -> None: ...


def attach_sensors(addresses: Mapping[str, int]) -> dict[str, I2cSensor]:
    """The sensors of a board profile, by name."""
    ...
