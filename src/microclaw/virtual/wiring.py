"""The wiring of the board: pins and who drives them. Knows no descriptors and no programs."""

from __future__ import annotations

from typing import Literal, TypeAlias

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
        """The level of a pin: a push-pull output wins, then the outside, then the pull resistor; floating reads 0."""
        if self.role == "pwm":
            return 1 if self.duty else 0
        if self.role == "output" and not (self.open_drain and self.out):
            return self.out
        return self.pull if self.external is None else self.external


def spi_hosts(chip: str) -> tuple[int, ...]:
    """Hosts for programs: SPI2 and SPI3; host 0 (SPI1) is the flash's. Nothing is wired: MISO reads as zeros."""
    return (1,) if chip in ("ESP32-C3", "ESP32-C6") else (1, 2)


def uart_count(chip: str) -> int:
    """The number of high-power UARTs of the chip (SOC_UART_HP_NUM). Nothing is wired to them."""
    return 2 if chip in ("ESP32-C3", "ESP32-C6") else 3
