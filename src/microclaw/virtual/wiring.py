"""What is wired to the board: pins and who drives them, SPI buses. Knows no descriptors and no programs."""

from __future__ import annotations

import threading
from typing import Final, Literal, TypeAlias

SPI_HOSTS: Final = {"ESP32-C3": (1,), "ESP32-C6": (1,)}
"""Hosts for programs by chip, else 1 (SPI2) and 2 (SPI3); host 0 (SPI1) is the flash's."""
PinRole: TypeAlias = Literal["idle", "input", "output", "pwm"]


class Pin:
    """One pin's configuration and what drives it. The board's lock guards it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.external: int | None = None
        self.level = 0
        self.clear()

    def clear(self) -> None:
        """As at power on: nothing is configured. What drives it from outside stays."""
        self.role: PinRole = "idle"
        self.pull = 0
        self.open_drain = False
        self.reads = False
        self.out = 0
        self.duty = 0
        self.frequency_hz = 0
        self.pulse_us = 0.0
        self.app: str | None = None
        self.driver: str | None = None
        self.mover: str | None = None
        self.opener: str | None = None
        self.opened_ms = 0.0

    def electrical_level(self) -> int:
        """Who wins: a push-pull output, then the outside, then the pull resistor; floating reads 0."""
        if self.role == "pwm":
            return 1 if self.duty else 0
        if self.role == "output" and not (self.open_drain and self.out):
            return self.out
        return self.pull if self.external is None else self.external


class SpiBuses:
    """The SPI buses that are set up. Nothing is wired to them, so MISO floats and reads as zeros."""

    def __init__(self, chip: str) -> None:
        self.hosts = SPI_HOSTS.get(chip, (1, 2))
        self._lock = threading.Lock()
        self._claimed: set[int] = set()

    def claim(self, bus: int) -> bool:
        """Set the bus up; False while it is."""
        with self._lock:
            is_free = bus not in self._claimed
            self._claimed.add(bus)
            return is_free

    def release(self, bus: int) -> None:
        with self._lock:
            self._claimed.discard(bus)

    def reset(self) -> None:
        """The power is gone: no bus is set up any more."""
        with self._lock:
            self._claimed.clear()


def uart_count(chip: str) -> int:
    """How many high-power UARTs the chip has (SOC_UART_HP_NUM). Nothing is wired to them."""
    return 2 if chip in ("ESP32-C3", "ESP32-C6") else 3
