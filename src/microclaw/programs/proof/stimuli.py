"""The stimuli of a trial, as values: what the outside does to pins and parts. Does nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from microclaw.wire.canned_lines import BrokerAway, BrokerMessage, PageRequest


class PinStimulus(Struct, frozen=True):
    """The outside puts `level` on a pin; None: the pin changes to its other level and chatters for `bounce_ms`.

    `pattern` is the number of a pattern of trial_plan.py.
    """

    pin: int
    level: int | None
    at_ms: float
    bounce_ms: float = 0.0
    pattern: int = 0


class PartStimulus(Struct, frozen=True):
    """A value that a wired part is given, as the text has it; part_stimuli.py makes the PartSettings of it.

    With a `verb` ("press") `argument` is the number or the key that it has, and `hold_ms` how long it lasts. Without,
    `value` is the value's name, or None for the part's only one, and `argument` the number in `unit`. `on_bus`: `part`
    may be the name of a sensor on the I2C bus, which is wired for it if it is not there.
    """

    part: str
    at_ms: float
    argument: float | str | None = None
    value: str | None = None
    unit: str | None = None
    verb: str | None = None
    hold_ms: float | None = None
    on_bus: bool = False
    line: int = 0


class PartSetting(Struct, frozen=True):
    """Values that the part with this id gets, by their names. `pins` are those that it may move by that."""

    part: str
    values: Mapping[str, float]
    at_ms: float
    pins: tuple[int, ...] = ()


class AdcStimulus(Struct, frozen=True):
    pin: int
    volts: float
    at_ms: float


class NetworkStimulus(Struct, frozen=True):
    """A message of a broker, one that goes away, or a request to the program's own server; `line` has no time."""

    at_ms: float
    line: BrokerMessage | BrokerAway | PageRequest

    @property
    def end_ms(self) -> float:
        """The time at which it is over: of a broker that goes away, when it is back."""
        if isinstance(self.line, BrokerAway):
            return self.at_ms + self.line.for_ms
        return self.at_ms


Stimulus: TypeAlias = PinStimulus | PartStimulus | PartSetting | AdcStimulus | NetworkStimulus
