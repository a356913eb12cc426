"""What a pin is and which level it has: outputs, the outside, pulls. Keeps no history and knows no board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

PinRole: TypeAlias = Literal["idle", "input", "output", "pwm"]


@dataclass(frozen=True, slots=True)
class PinState:
    """What is to be seen of one pin. `app` drives it; None is the outside or the JSON line."""

    pin: int
    level: int
    role: PinRole
    duty: int
    frequency_hz: int
    app: str | None


class Pin:
    """One pin's configuration and what drives it. The board's lock guards it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.external: int | None = None
        self.level = 0
        self.clear()

    def clear(self) -> None:
        """As at power on: nothing configured, what drives it from outside stays."""
        self.role: PinRole = "idle"
        self.pull = 0
        self.open_drain = False
        self.reads = False
        self.out = 0
        self.duty = 0
        self.frequency_hz = 0
        self.app: str | None = None

    def electrical_level(self) -> int:
        """Who wins: a push-pull output, then the outside, then the pull resistor; floating reads 0."""
        if self.role == "pwm":
            return 1 if self.duty else 0
        if self.role == "output" and not (self.open_drain and self.out):
            return self.out
        return self.pull if self.external is None else self.external
