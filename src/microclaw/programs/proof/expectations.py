"""The expectations of a program, as values: what is looked at in a record, stimuli, and the lines of the text.

expectation_text.py reads them from text (docs/proof.md has the language), checks.py has the checks. Times are in ms
since the program's installation; shares are 0 to 1; duties in percent.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypeVar

from msgspec import Struct

from microclaw.programs.proof.colors import Color, Rgb, color_text
from microclaw.programs.proof.line_pattern import LinePattern
from microclaw.programs.proof.record import WHOLE, Record, TrialWindow
from microclaw.text import count_text

if TYPE_CHECKING:
    from microclaw.programs.proof.checks import Check

V = TypeVar("V")
SERVO_HZ: Final = (40, 400)
"""What servos take as a rate of pulses: 50 Hz the usual ones, up to 333 Hz the digital ones."""
MAX_ADC_V: Final = 3.3
FADE_POINTS: Final = 2.5
"""Of a duty that fades: ten steps of 8 bits, where a loop ends at 250 of 255."""


class State(Struct, frozen=True):
    """A state that a pin, or what is on it, has at each moment."""

    pin: int

    def values(self, seen: Record) -> list[tuple[float, Any]]:
        """The values of what the state is about, each with the time since when; the first one at the start."""
        raise NotImplementedError

    def matches(self, value: Any) -> bool:
        raise NotImplementedError

    @property
    def tolerance_text(self) -> str:
        """The tolerance of the value, for one that does not match; empty if it has none."""
        return ""

    def describe(self, value: Any) -> str:
        raise NotImplementedError

    def missing(self, seen: Record) -> str | None:
        """Why it has no values: there is no PWM, or no such LED."""
        if len(self.values(seen)) > 1:
            return None
        return f"pin {self.pin} has no PWM"

    def value_at(self, seen: Record, t_ms: float) -> Any:
        values = self.values(seen)
        return values[max(bisect_right(values, t_ms, key=lambda value: value[0]) - 1, 0)][1]

    def holds(self, seen: Record, t_ms: float) -> bool:
        return self.matches(self.value_at(seen, t_ms))

    def spans(self, seen: Record, end_ms: float) -> list[tuple[float, float]]:
        """From when until when it held, the last time until the end; the same value again does not end it."""
        points = [(t, self.matches(value)) for t, value in self.values(seen)]
        points = [points[0], *(after for before, after in pairwise(points) if before[1] != after[1])]
        ends = [*(t for t, _ in points[1:]), end_ms]
        return [(start, end) for (start, holds), end in zip(points, ends, strict=True) if holds and end > start]


class LevelState(State, frozen=True):
    """A pin has this level."""

    level: int

    @property
    def text(self) -> str:
        return "high" if self.level else "low"

    def values(self, seen: Record) -> list[tuple[float, int]]:
        return seen.track(self.pin)

    def matches(self, value: int) -> bool:
        return value == self.level

    def describe(self, value: int) -> str:
        return f"pin {self.pin} is {'high' if value else 'low'}"


class PwmDuty(State, frozen=True):
    """The duty is `percent`; `points` is the tolerance in percentage points."""

    percent: float
    points: float

    def values(self, seen: Record) -> list[tuple[float, float]]:
        return [(0.0, 0.0), *seen.duties(self.pin)]

    def matches(self, value: float) -> bool:
        return abs(value - self.percent) <= self.points

    @property
    def tolerance_text(self) -> str:
        return f"± {self.points:.3g} points"

    def describe(self, value: float) -> str:
        return f"pin {self.pin} has {value:.3g} %"


class LedColor(State, frozen=True):
    """An addressable LED of the chain on the pin has the color; `index` None: all of them. Its values are chains."""

    index: int | None
    color: Color

    @property
    def text(self) -> str:
        return self.color.text

    def values(self, seen: Record) -> list[tuple[float, tuple[Rgb, ...]]]:
        return [(0.0, ()), *((change.t_ms, change.colors) for change in seen.leds if change.pin == self.pin)]

    def matches(self, value: tuple[Rgb, ...]) -> bool:
        return all(map(self.color.matches, self._part(value)))

    def describe(self, value: tuple[Rgb, ...]) -> str:
        """ "the LED on pin 48 is red", "... red, off, blue"; a long chain of one color is told once."""
        names = [color_text(color) for color in self._part(value)]
        if len(set(names)) == 1:
            shown = names[0]
        else:
            shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        return f"the LED on pin {self.pin} is {shown}"

    def missing(self, seen: Record) -> str | None:
        longest = max(len(chain) for _, chain in self.values(seen))
        if not longest:
            return f"pin {self.pin} has no LEDs that were sent anything"
        if (self.index or 0) >= longest:
            return f"the chain on pin {self.pin} has {count_text(longest, 'LED')}, from 0"
        return None

    def _part(self, chain: tuple[Rgb, ...]) -> tuple[Rgb, ...]:
        """The LEDs that it is about. One that was sent nothing is off."""
        return (chain if self.index is None else chain[self.index : self.index + 1]) or ((0, 0, 0),)


class ServoPulse(State, frozen=True):
    """A servo gets pulses of one of these lengths; 0: none. Its values are (us, times a second)."""

    pulses_us: tuple[float, ...]
    slack_us: float

    def values(self, seen: Record) -> list[tuple[float, tuple[float, int]]]:
        changes = [(c.t_ms, c.duty, c.pulse_us, c.frequency_hz) for c in seen.pwm if c.pin == self.pin]
        pulses = [(t_ms, (duty / 255 * 1e6 / hz if us is None else us, hz)) for t_ms, duty, us, hz in changes]
        return [(0.0, (0.0, 50)), *pulses]

    def matches(self, value: tuple[float, int]) -> bool:
        pulse_us, hz = value
        takes_it = not pulse_us or SERVO_HZ[0] <= hz <= SERVO_HZ[1]
        return takes_it and any(abs(pulse_us - wanted) <= self.slack_us for wanted in self.pulses_us)

    @property
    def tolerance_text(self) -> str:
        return f"± {self.slack_us:.0f} us"

    def describe(self, value: tuple[float, int]) -> str:
        takes = "" if SERVO_HZ[0] <= value[1] <= SERVO_HZ[1] else " (a servo takes 50)"
        if value[0]:
            return f"pulses of {value[0]:.0f} us {value[1]} times a second{takes}"
        return "no pulses"


class EdgeMoments(Struct, frozen=True):
    """The edges of a pin to `level`; None: all of them."""

    pin: int
    level: int | None = None

    @property
    def noun(self) -> str:
        if self.level is None:
            return "edge"
        if self.level:
            return "rise"
        return "fall"

    def times(self, seen: Record, window: TrialWindow = WHOLE) -> list[float]:
        """The moments of the events in a window, both its ends included."""
        changes = _within(seen.track(self.pin)[1:], seen, window)
        return [t for t, new in changes if self.level in (None, new)]


class PwmMoments(Struct, frozen=True):
    """The moments at which the duty of a pin's PWM arrives at its smallest value."""

    pin: int
    noun: ClassVar = "lowest point"

    def times(self, seen: Record, window: TrialWindow = WHOLE) -> list[float]:
        duties = _within(seen.duties(self.pin), seen, window)
        least = min((duty for _, duty in duties), default=0.0) + FADE_POINTS
        return [t for (_, old), (t, new) in pairwise(duties) if new <= least < old]


class Lines(Struct, frozen=True):
    """The printed lines that fit the pattern."""

    pattern: LinePattern
    pin: ClassVar[None] = None
    noun: ClassVar = "matching line"

    def times(self, seen: Record, window: TrialWindow = WHOLE) -> list[float]:
        return [t for t, text in _within(seen.printed[0], seen, window) if self.pattern.matches(text)]


Events: TypeAlias = EdgeMoments | PwmMoments | Lines
"""What comes at moments."""


def _within(values: list[tuple[float, V]], seen: Record, window: TrialWindow) -> list[tuple[float, V]]:
    from_ms = window.from_ms
    until_ms = seen.until(window)
    return [(t, value) for t, value in values if from_ms <= t <= until_ms]


class PinStimulus(Struct, frozen=True):
    """The outside puts `level` on a pin; None: the pin changes to its other level and chatters for `bounce_ms`.

    `pattern`: which of those that trial_plan.py has.
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
