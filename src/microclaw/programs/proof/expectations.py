"""The expectations of a program, as values: states and events of a record, and the base class of checks.

expectation_text.py reads them from text (docs/proof.md has the language), checks.py has the checks, stimuli.py has
the events from outside. Times are in ms since the program's installation; shares are 0 to 1; duties are in percent.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Final, Literal, TypeAlias, TypeVar

from msgspec import Struct, structs

from microclaw.programs.proof.assumed_parts import AssumedPart
from microclaw.programs.proof.colors import Color, Rgb, color_text
from microclaw.programs.proof.line_pattern import LinePattern
from microclaw.programs.proof.network_events import PageAnswers, Sent
from microclaw.programs.proof.record import WHOLE, Record, TrialWindow
from microclaw.programs.proof.stimuli import Stimulus
from microclaw.text import count_text, time_text
from microclaw.wire.canned_lines import Broker, HttpAnswer

V = TypeVar("V")
Answer: TypeAlias = Literal["met", "not met", "untried"]
JITTER_MS: Final = 2.0
"""A board's tick: two times may differ by it, however short they are."""
SERVO_HZ: Final = (40, 400)
"""What servos take as a rate of pulses: 50 Hz the usual ones, up to 333 Hz the digital ones."""
MAX_ADC_V: Final = 3.3
FADE_POINTS: Final = 2.5
"""Of a duty that fades: ten steps of 8 bits, where a loop ends at 250 of 255."""
_MAX_NAMED_COLORS: Final = 4
_PRINT_LESS: Final = "print less: a board tells a program's lines up to so many a second, and no more of them"


class State(Struct, frozen=True):
    """A state that a pin, or what is on it, has at each moment."""

    @property
    def pin(self) -> int | None:
        """The pin that it is about; None: it is about none."""
        return None

    def values(self, seen: Record) -> list[tuple[float, Any]]:
        """Return the values of the state's subject in order, each with the time at which it begins.

        Nothing is known before the first one.
        """
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
        """Return why it has no values: there is no PWM, or no such LED. None if it has some."""
        if len(self.values(seen)) > 1:
            return None
        return f"pin {self.pin} has no PWM"

    def value_at(self, seen: Record, t_ms: float) -> Any:
        """Return the value at a time, or None before the first one."""
        values = self.values(seen)
        later = bisect_right(values, t_ms, key=lambda value: value[0])
        if not later:
            return None
        return values[later - 1][1]

    def holds(self, seen: Record, t_ms: float) -> bool:
        value = self.value_at(seen, t_ms)
        return value is not None and self.matches(value)

    def spans(self, seen: Record, end_ms: float) -> list[tuple[float, float]]:
        """Return from when until when it held, the last time until the end; the same value again does not end it."""
        spans = []
        start_ms: float | None = None
        for t_ms, value in self.values(seen):
            is_held = self.matches(value)
            if is_held and start_ms is None:
                start_ms = t_ms
            elif not is_held and start_ms is not None:
                spans.append((start_ms, t_ms))
                start_ms = None
        if start_ms is not None:
            spans.append((start_ms, end_ms))
        return [(start, end) for start, end in spans if end > start]


class LevelState(State, frozen=True):
    """A pin has this level."""

    pin: int
    level: int

    @property
    def text(self) -> str:
        return _level_name(self.level)

    def values(self, seen: Record) -> list[tuple[float, int]]:
        return seen.track(self.pin)

    def matches(self, value: int) -> bool:
        return value == self.level

    def describe(self, value: int) -> str:
        return f"pin {self.pin} is {_level_name(value)}"


def _level_name(level: int) -> str:
    if level:
        return "high"
    return "low"


class PartTrigger(Struct, frozen=True):
    """A wired part begins to be so, as "pressed", or ceases to be. part_stimuli.py makes a pin's level of it."""

    part: str
    value: str
    is_so: bool = True


class PwmDuty(State, frozen=True):
    """The duty is `percent`; `points` is the tolerance in percentage points."""

    pin: int
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

    pin: int
    index: int | None
    color: Color

    @property
    def text(self) -> str:
        return self.color.text

    def values(self, seen: Record) -> list[tuple[float, tuple[Rgb, ...]]]:
        chains: list[tuple[float, tuple[Rgb, ...]]] = [(0.0, ())]
        for change in seen.leds:
            if change.pin == self.pin:
                chains.append((change.t_ms, change.colors))
        return chains

    def matches(self, value: tuple[Rgb, ...]) -> bool:
        return all(map(self.color.matches, self._part(value)))

    def describe(self, value: tuple[Rgb, ...]) -> str:
        """Return "the LED on pin 48 is red", "... red, off, blue"; a long chain of one color is said once."""
        names = [color_text(color) for color in self._part(value)]
        if len(set(names)) == 1:
            shown = names[0]
        else:
            shown = ", ".join(names[:_MAX_NAMED_COLORS])
            if len(names) > _MAX_NAMED_COLORS:
                shown += ", ..."
        return f"the LED on pin {self.pin} is {shown}"

    def missing(self, seen: Record) -> str | None:
        longest = max(len(chain) for _, chain in self.values(seen))
        if not longest:
            return f"pin {self.pin} has no LEDs that were sent anything"
        if (self.index or 0) >= longest:
            return f"the chain on pin {self.pin} has {count_text(longest, 'LED')}, from 0"
        return None

    def _part(self, chain: tuple[Rgb, ...]) -> tuple[Rgb, ...]:
        """Return the LEDs that it is about. An LED that was sent nothing is off."""
        part = chain
        if self.index is not None:
            part = chain[self.index : self.index + 1]
        if not part:
            return ((0, 0, 0),)
        return part


class ServoPulse(State, frozen=True):
    """A servo gets pulses of one of these lengths; 0: none. Its values are (us, times a second)."""

    pin: int
    pulses_us: tuple[float, ...]
    slack_us: float

    def values(self, seen: Record) -> list[tuple[float, tuple[float, int]]]:
        pulses = [(0.0, (0.0, 50))]
        for change in seen.pwm:
            if change.pin != self.pin:
                continue
            pulse_us = change.pulse_us
            if pulse_us is None:
                pulse_us = change.duty / 255 * 1e6 / change.frequency_hz
            pulses.append((change.t_ms, (pulse_us, change.frequency_hz)))
        return pulses

    def matches(self, value: tuple[float, int]) -> bool:
        pulse_us, hz = value
        if pulse_us and not _is_servo_rate(hz):
            return False
        return any(abs(pulse_us - wanted_us) <= self.slack_us for wanted_us in self.pulses_us)

    @property
    def tolerance_text(self) -> str:
        return f"± {self.slack_us:.0f} us"

    def describe(self, value: tuple[float, int]) -> str:
        pulse_us, hz = value
        if not pulse_us:
            return "no pulses"
        text = f"pulses of {pulse_us:.0f} us {hz} times a second"
        if _is_servo_rate(hz):
            return text
        return f"{text} (a servo takes 50)"


class PartShows(State, frozen=True):
    """A wired part shows the value `number`, give or take `slack` (None: what its facts say)."""

    part: str
    name: str
    number: float
    unit: str | None = None
    slack: float | None = None

    def values(self, seen: Record) -> list[tuple[float, float]]:
        return seen.shown_by(self.part, self.name)

    def matches(self, value: float) -> bool:
        return abs(value - self.number) <= (self.slack or 0.0)

    @property
    def tolerance_text(self) -> str:
        if not self.slack:
            return ""
        return f"± {self.slack:g}"

    def describe(self, value: float) -> str:
        return f"{self.part} shows {self.name} {value:g}"

    def missing(self, seen: Record) -> str | None:
        if self.values(seen):
            return None
        return f"{self.part} shows no {self.name}"


def _is_servo_rate(hz: int) -> bool:
    return SERVO_HZ[0] <= hz <= SERVO_HZ[1]


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
        """Return the moments of the events in a window, both its ends included."""
        times = []
        for t_ms, level in _within(seen.track(self.pin)[1:], seen, window):
            if self.level is None or self.level == level:
                times.append(t_ms)
        return times


class PwmMoments(Struct, frozen=True):
    """The moments at which the duty of a pin's PWM arrives at its smallest value."""

    pin: int
    noun: ClassVar = "lowest point"

    def times(self, seen: Record, window: TrialWindow = WHOLE) -> list[float]:
        duties = _within(seen.duties(self.pin), seen, window)
        lowest = min((duty for _, duty in duties), default=0.0)
        most = lowest + FADE_POINTS
        times = []
        for (_, before), (t_ms, duty) in pairwise(duties):
            if duty <= most < before:
                times.append(t_ms)
        return times


class Lines(Struct, frozen=True):
    """The printed lines that fit the pattern."""

    pattern: LinePattern
    pin: ClassVar[None] = None
    noun: ClassVar = "matching line"

    def times(self, seen: Record, window: TrialWindow = WHOLE) -> list[float]:
        times = []
        for t_ms, text in _within(seen.printed[0], seen, window):
            if self.pattern.matches(text):
                times.append(t_ms)
        return times


class ScreenMoments(Struct, frozen=True):
    """The moments at which a display shows another picture. `part` is its id; None: of the only one."""

    part: str | None
    pin: ClassVar[None] = None
    noun: ClassVar = "other picture"

    def times(self, seen: Record, window: TrialWindow = WHOLE) -> list[float]:
        moments = [(shown.t_ms, shown.part) for shown in seen.screens if self.part in (None, shown.part)]
        return [t_ms for t_ms, _ in _within(moments, seen, window)]


Events: TypeAlias = EdgeMoments | PwmMoments | Lines | ScreenMoments | Sent | PageAnswers
"""Everything that comes at moments."""


def _within(values: list[tuple[float, V]], seen: Record, window: TrialWindow) -> list[tuple[float, V]]:
    from_ms = window.from_ms
    until_ms = seen.until(window)
    return [(t_ms, value) for t_ms, value in values if from_ms <= t_ms <= until_ms]


class CheckResult(Struct, frozen=True):
    """The answer for one check, and what was seen, in words. `at_ms`: the moment in the trial that it is about."""

    state: Answer
    text: str
    next_step: str | None = None
    at_ms: float | None = None


class Check(Struct, frozen=True):
    """An expectation of one thing; checks.py has them."""

    needs_values: ClassVar[bool] = False
    """Whether it cannot be judged if its state has no values, as a duty on a pin without PWM."""
    subject: State | Events

    @property
    def moment_ms(self) -> float:
        """The moment that it is about; a check whose moment comes after the trial's end is untried."""
        return 0.0

    @property
    def needed_ms(self) -> float:
        """The board time that it speaks of, with the time that is needed to see it."""
        if self.moment_ms:
            return self.moment_ms + 500.0
        return 0.0

    @property
    def level_from_ms(self) -> float | None:
        """The time from which it needs a known level; None: whenever the pin is opened."""
        return None

    @property
    def is_never(self) -> bool:
        """True if a right program may do nothing at all, whatever comes from outside."""
        return False

    def judge(self, seen: Record, _program: Sequence[Check]) -> CheckResult:
        """Return the finding; `_program` are all of the program's checks."""
        fault = self._unknown_level(seen)
        if fault is not None:
            return CheckResult("not met", fault)
        if self.moment_ms > seen.board_ms:
            return CheckResult("untried", f"the trial ends at {time_text(seen.board_ms)}")
        fault = self._missing_values(seen)
        if fault is not None:
            return CheckResult("not met", fault)
        finding = self.compare(seen)
        is_tried = seen.moved or (self.is_never and seen.was_stimulated)
        if finding.state == "met" and not is_tried:
            return CheckResult("untried", "nothing moved and nothing was printed")
        return finding

    def compare(self, seen: Record) -> CheckResult:
        raise NotImplementedError

    def _missing_values(self, seen: Record) -> str | None:
        """Return why its state has no values, or None. A level always has one."""
        if not self.needs_values or not isinstance(self.subject, State) or isinstance(self.subject, LevelState):
            return None
        return self.subject.missing(seen)

    def _unknown_level(self, seen: Record) -> str | None:
        """Return why nothing is known of a level that it is about: on a chip, a pin that nobody opened floats."""
        # The other states and events have records of their own.
        pins = [part.pin for part in structs.astuple(self) if isinstance(part, LevelState | EdgeMoments)]
        for pin in pins:
            if seen.opened_ms(pin) is None:
                return f"the program never opens pin {pin}: nothing is known of its level"
        if not pins or self.level_from_ms is None:
            return None
        opened_ms = seen.opened_ms(pins[0]) or 0.0
        if opened_ms <= self.level_from_ms + JITTER_MS:
            return None
        return f"the program opens pin {pins[0]} at {time_text(opened_ms)}: nothing is known of its level before"

    def unsure_of_lines(self, finding: CheckResult, window: TrialWindow, seen: Record) -> CheckResult:
        """Return a finding about printed lines if some of them are missing: then what would be met is untried."""
        count = seen.left_out(window)
        if not count or finding.state == "untried" or not isinstance(self.subject, Lines):
            return finding
        verb = "was" if count == 1 else "were"
        missing = f"{count_text(count, 'line')} {verb} left out"
        return CheckResult("untried", f"{missing}: print less; {finding.text}", _PRINT_LESS)


class ExpectationLine(Struct, frozen=True):
    """One line of the text with its checks; `number` counts from 1."""

    number: int
    text: str
    checks: tuple[Check, ...]


class Expectations(Struct, frozen=True):
    """All expectations of one program. `for_ms`, `uptime_ms` and `soak_ms` are None if the text does not say them.

    `uptime_ms` is the time for which the board is up when the program starts. `soak_ms` is the time for which the trial
    goes on after the needed time. `wired` are the parts that they take as wired to the board, `network` the servers and
    brokers that answer the program.
    """

    text: str
    lines: tuple[ExpectationLine, ...]
    stimuli: tuple[Stimulus, ...] = ()
    for_ms: float | None = None
    uptime_ms: float | None = None
    soak_ms: float | None = None
    wired: tuple[AssumedPart, ...] = ()
    network: tuple[HttpAnswer | Broker, ...] = ()

    @property
    def checks(self) -> tuple[Check, ...]:
        checks: list[Check] = []
        for line in self.lines:
            checks += line.checks
        return tuple(checks)
