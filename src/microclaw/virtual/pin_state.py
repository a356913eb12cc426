"""The state of a pin of the board, and who drives it. Knows no descriptors and no programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

PinRole: TypeAlias = Literal["idle", "input", "output", "pwm"]


class PinState(Struct):
    """One pin's configuration and what drives it. The board's lock guards it. A new one is as at power on.

    `pull` is the level to which the chip's own resistor pulls it, `resistor` the same of one on the board; None: there
    is none, or it is switched off.
    """

    pin: int
    external: int | None = None
    resistor: int | None = None
    level: int = 0
    role: PinRole = "idle"
    pull: int | None = None
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
    is_written_input: bool = False

    def at_power_on(self) -> PinState:
        """Return the pin as it is after a power cut: what is outside stays."""
        return PinState(self.pin, external=self.external, resistor=self.resistor, level=self.level)

    def is_first_write_to_input(self) -> bool:
        """Note that a program writes a level, and return True the first time that it does while the pin is an input."""
        is_first = self.role == "input" and not self.is_written_input
        self.is_written_input = self.is_written_input or is_first
        return is_first

    def driven_level(self) -> int | None:
        """Return the level that its output or the outside drives it to, or None if it floats or is pulled."""
        own = self._own_level()
        if own is not None:
            return own
        return self.external

    def electrical_level(self, joined: Iterable[PinState] = ()) -> int:
        """Return the level: what drives the pin, else what drives a joined one (low wins), else its pull resistor.

        A push-pull output wins over the outside. A floating pin reads 0.
        """
        own = self.driven_level()
        if own is not None:
            return own
        levels = [level for level in (pin.driven_level() for pin in joined) if level is not None]
        return min(levels, default=self._pulled_level() or 0)

    def is_held(self, joined: Iterable[PinState] = ()) -> bool:
        """Return True if it has a level without the outside: its own, a pulled one, or that of a driven joined pin."""
        if self._own_level() is not None or self._pulled_level() is not None:
            return True
        return any(pin.driven_level() is not None for pin in joined)

    def _own_level(self) -> int | None:
        """Return the level that the chip itself drives, or None if it drives none."""
        if self.role == "pwm":
            return 1 if self.duty else 0
        if self.role == "output" and not (self.open_drain and self.out):
            return self.out
        return None

    def _pulled_level(self) -> int | None:
        if self.pull is not None:
            return self.pull
        return self.resistor


class PinJoins:
    """The pins that closed switches connect from outside."""

    def __init__(self) -> None:
        # The pin of the switch, and the one that it leads to.
        self._others: dict[int, int] = {}

    def join(self, pin: int, other: int | None) -> None:
        """Close the switch at a pin; None opens it."""
        if other is None:
            self._others.pop(pin, None)
        else:
            self._others[pin] = other

    def joined_with(self, pin: int) -> list[int]:
        """Return the pins that are connected with this one, whichever of them the switch belongs to."""
        pins = []
        for first, second in self._others.items():
            if first == pin:
                pins.append(second)
            elif second == pin:
                pins.append(first)
        return pins
