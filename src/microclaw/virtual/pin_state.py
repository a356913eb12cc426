"""The state of a pin of the board, and who drives it. Knows no descriptors and no programs."""

from __future__ import annotations

from collections.abc import Iterable
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

    def driven_level(self) -> int | None:
        """Return the level that its output or the outside drives it to, or None if it floats or is pulled."""
        if self.role == "pwm":
            return 1 if self.duty else 0
        if self.role == "output" and not (self.open_drain and self.out):
            return self.out
        return self.external

    def electrical_level(self, joined: Iterable[PinState] = ()) -> int:
        """Return the level: what drives the pin, else what drives a joined one (low wins), else its pull resistor.

        A push-pull output wins over the outside. A floating pin reads 0.
        """
        own = self.driven_level()
        if own is not None:
            return own
        levels = [level for level in (pin.driven_level() for pin in joined) if level is not None]
        return min(levels, default=self.pull)
