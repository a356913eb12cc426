"""The wiring of the board: pins and who drives them. Knows no descriptors and no programs."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

PinRole: TypeAlias = Literal["idle", "input", "output", "pwm"]


class PinState(Struct):
    """One pin's configuration and what drives it. The board's lock guards it. A new one is as at power on."""

    pin: int
    external: int | None = None
    level: int = 0
    role: PinRole = "idle"
    pull: int = 0
    open_drain: bool = False
    reads: bool = False
    out: int = 0
    duty: int = 0
    frequency_hz: int = 0
    pulse_us: float = 0.0
    app: str | None = None
    driver: str | None = None
    mover: str | None = None
    opener: str | None = None
    opened_ms: float = 0.0

    def electrical_level(self) -> int:
        """Return the level: a push-pull output wins, then the outside, then the pull resistor; floating reads 0."""
        if self.role == "pwm":
            return 1 if self.duty else 0
        if self.role == "output" and not (self.open_drain and self.out):
            return self.out
        return self.pull if self.external is None else self.external
