"""What a program is expected to do, as values: checks of pins, LEDs, servos and lines, and stimuli. Checks nothing.

expectation_text.py reads them from text (docs/proof.md has the language), expectation_check.py compares them with a
record. Times are in ms since the program's installation; shares are 0 to 1; duties in percent.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.apps.colors import Color
from microclaw.apps.line_pattern import LinePattern


class Window(Struct, frozen=True):
    """The part of the trial that a check is about; `until_ms` None: to its end."""

    from_ms: float = 0.0
    until_ms: float | None = None


class Level(Struct, frozen=True):
    """A condition: this pin has this level."""

    pin: int
    level: int


class Period(Struct, frozen=True):
    """From each rise to the next, all through the window."""

    pin: int
    period_ms: float
    tolerance: float
    window: Window


class Duty(Struct, frozen=True):
    """The share of each period that the pin is high; `points` is the tolerance in percentage points."""

    pin: int
    percent: float
    points: float
    window: Window


class PhaseLength(Struct, frozen=True):
    """How long the pin keeps this level each time."""

    pin: int
    level: int
    length_ms: float
    tolerance: float
    window: Window


class EdgeCount(Struct, frozen=True):
    """Exactly so many edges, or pulses (rises)."""

    pin: int
    count: int
    rises_only: bool
    window: Window


class EdgeAt(Struct, frozen=True):
    """An edge to `level` at a time."""

    pin: int
    level: int
    at_ms: float
    slack_ms: float


class LevelAt(Struct, frozen=True):
    pin: int
    level: int
    at_ms: float


class Hold(Struct, frozen=True):
    """The pin has this level all through the window, where `condition` holds."""

    pin: int
    level: int
    window: Window
    condition: Level | None = None


class PinEffect(Struct, frozen=True):
    """The pin goes to `level`; None: it changes, once."""

    pin: int
    level: int | None


class StayEffect(Struct, frozen=True):
    """The pin does not move."""

    pin: int


class LogEffect(Struct, frozen=True):
    pattern: LinePattern


class PwmEffect(Struct, frozen=True):
    """The duty becomes `percent`; `points` is the tolerance in percentage points."""

    pin: int
    percent: float
    points: float


class LedEffect(Struct, frozen=True):
    """An LED of the chain on the pin gets the color; `index` None: all of them."""

    pin: int
    index: int | None
    color: Color


Effect: TypeAlias = PinEffect | StayEffect | LogEffect | PwmEffect | LedEffect


class Reaction(Struct, frozen=True):
    """Each time `trigger.pin` goes to `trigger.level`, the effect follows within `within_ms`, and only then.

    A trigger that bounces is one trigger, and its time counts from the last bounce. `for_ms`: the pin goes back so long
    after it.
    """

    trigger: Level
    condition: Level | None
    effect: Effect
    within_ms: float
    for_ms: float | None = None
    tolerance: float = 0.05


class PwmRamp(Struct, frozen=True):
    """The duty goes from `start` to `end` percent without turning back; `tolerance` None: in that time at most."""

    pin: int
    start: float
    end: float
    within_ms: float
    tolerance: float | None
    window: Window


class PwmAt(Struct, frozen=True):
    """The duty is `percent` at a time; `points` is the tolerance in percentage points."""

    pin: int
    percent: float
    at_ms: float
    points: float


class PwmPeriod(Struct, frozen=True):
    """From one smallest duty to the next, all through the window."""

    pin: int
    period_ms: float
    tolerance: float
    window: Window


class PwmFrequency(Struct, frozen=True):
    pin: int
    frequency_hz: float
    tolerance: float


class LedAt(Struct, frozen=True):
    """An addressable LED has the color at a time; `index` None: each of the chain."""

    pin: int
    index: int | None
    color: Color
    at_ms: float


class LedWithin(Struct, frozen=True):
    """It has the color for the first time by then."""

    pin: int
    index: int | None
    color: Color
    within_ms: float


class LedPhase(Struct, frozen=True):
    """How long it keeps the color each time."""

    pin: int
    index: int | None
    color: Color
    length_ms: float
    tolerance: float
    window: Window


class ServoAt(Struct, frozen=True):
    """A servo gets pulses of one of these lengths at a time; 0: none."""

    pin: int
    pulses_us: tuple[float, ...]
    at_ms: float
    slack_us: float


class LogEvery(Struct, frozen=True):
    """A matching line each `every_ms`, all through the window."""

    pattern: LinePattern
    every_ms: float
    tolerance: float
    window: Window


class LogCount(Struct, frozen=True):
    """Matching lines in the window: exactly `count`, or at least one (None)."""

    pattern: LinePattern
    count: int | None
    window: Window


Check: TypeAlias = (
    Period
    | Duty
    | PhaseLength
    | EdgeCount
    | EdgeAt
    | LevelAt
    | Hold
    | Reaction
    | PwmRamp
    | PwmAt
    | PwmPeriod
    | PwmFrequency
    | LedAt
    | LedWithin
    | LedPhase
    | ServoAt
    | LogEvery
    | LogCount
)


class PinStimulus(Struct, frozen=True):
    """The outside puts `level` on a pin; None: the pin changes to its other level and chatters for `bounce_ms`.

    `pattern`: which of those that stimuli.py has.
    """

    pin: int
    level: int | None
    at_ms: float
    bounce_ms: float = 0.0
    pattern: int = 0


class SensorStimulus(Struct, frozen=True):
    """`value` is in the unit of the board's sensor: quantity `temperature_c`, `humidity_pct`, `voltage_v` ..."""

    sensor: str
    quantity: str
    value: float
    at_ms: float


MAX_ADC_V: Final = 3.3


class AdcStimulus(Struct, frozen=True):
    pin: int
    volts: float
    at_ms: float


Stimulus: TypeAlias = PinStimulus | SensorStimulus | AdcStimulus


class ExpectationLine(Struct, frozen=True):
    """One line of the text with its checks; `number` counts from 1."""

    number: int
    text: str
    checks: tuple[Check, ...]


class Expectations(Struct, frozen=True):
    """All that was expected of one program. `for_ms`, `uptime_ms` and `soak_ms` are None where the text does not say.

    `uptime_ms`: how long the board is up when the program starts. `soak_ms`: how long it goes on after what is needed.
    """

    text: str
    lines: tuple[ExpectationLine, ...]
    stimuli: tuple[Stimulus, ...] = ()
    for_ms: float | None = None
    uptime_ms: float | None = None
    soak_ms: float | None = None

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(check for line in self.lines for check in line.checks)
