"""The expectations of a program, as values: states and events, the checks of them, and stimuli. Checks nothing.

expectation_text.py reads them from text (docs/proof.md has the language), expectation_check.py compares them with a
record. Times are in ms since the program's installation; shares are 0 to 1; duties in percent.
"""

from __future__ import annotations

from typing import ClassVar, Final, TypeAlias

from msgspec import Struct

from microclaw.apps.colors import Color, Rgb, color_text
from microclaw.apps.line_pattern import LinePattern

SERVO_HZ: Final = (40, 400)
"""What servos take as a rate of pulses: 50 Hz the usual ones, up to 333 Hz the digital ones."""
MAX_ADC_V: Final = 3.3


class Window(Struct, frozen=True):
    """The part of the trial that a check is about; `until_ms` None: to its end."""

    from_ms: float = 0.0
    until_ms: float | None = None


WHOLE: Final = Window()


class Level(Struct, frozen=True):
    """A pin has this level. Its values are levels."""

    pin: int
    level: int

    @property
    def text(self) -> str:
        return "high" if self.level else "low"

    def matches(self, level: int) -> bool:
        return level == self.level

    def describe(self, level: int) -> str:
        return f"pin {self.pin} is {'high' if level else 'low'}"


class PwmDuty(Struct, frozen=True):
    """The duty is `percent`; `points` is the tolerance in percentage points. Its values are percents."""

    pin: int
    percent: float
    points: float

    def matches(self, percent: float) -> bool:
        return abs(percent - self.percent) <= self.points

    def describe(self, percent: float) -> str:
        return f"pin {self.pin} has {percent:.3g} %"


class LedColor(Struct, frozen=True):
    """An addressable LED of the chain on the pin has the color; `index` None: all of them. Its values are chains."""

    pin: int
    index: int | None
    color: Color

    @property
    def text(self) -> str:
        return self.color.text

    def matches(self, chain: tuple[Rgb, ...]) -> bool:
        return all(map(self.color.matches, self._part(chain)))

    def describe(self, chain: tuple[Rgb, ...]) -> str:
        """ "the LED on pin 48 is red", "... red, off, blue"; a long chain of one color is told once."""
        names = [color_text(color) for color in self._part(chain)]
        shown = names[0] if len(set(names)) == 1 else ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        return f"the LED on pin {self.pin} is {shown}"

    def _part(self, chain: tuple[Rgb, ...]) -> tuple[Rgb, ...]:
        """The LEDs that it is about. One that was sent nothing is off."""
        return (chain if self.index is None else chain[self.index : self.index + 1]) or ((0, 0, 0),)


class ServoPulse(Struct, frozen=True):
    """A servo gets pulses of one of these lengths; 0: none. Its values are (us, times a second)."""

    pin: int
    pulses_us: tuple[float, ...]
    slack_us: float

    def matches(self, pulse: tuple[float, int]) -> bool:
        pulse_us, hz = pulse
        takes_it = not pulse_us or SERVO_HZ[0] <= hz <= SERVO_HZ[1]
        return takes_it and any(abs(pulse_us - wanted) <= self.slack_us for wanted in self.pulses_us)

    def describe(self, pulse: tuple[float, int]) -> str:
        takes = "" if SERVO_HZ[0] <= pulse[1] <= SERVO_HZ[1] else " (a servo takes 50)"
        return f"pulses of {pulse[0]:.0f} us {pulse[1]} times a second{takes}" if pulse[0] else "no pulses"


class Edges(Struct, frozen=True):
    """The edges of a pin to `level`; None: all of them."""

    pin: int
    level: int | None = None

    @property
    def noun(self) -> str:
        return "edge" if self.level is None else "rise" if self.level else "fall"


class Pwm(Struct, frozen=True):
    """The PWM of a pin; its events are the moments at which the duty arrives at its smallest value."""

    pin: int
    noun: ClassVar = "lowest point"


class Lines(Struct, frozen=True):
    """The printed lines that fit the pattern."""

    pattern: LinePattern
    pin: ClassVar[None] = None
    noun: ClassVar = "matching line"


State: TypeAlias = Level | PwmDuty | LedColor | ServoPulse
"""What has a value at each moment: `matches(value)`, and `describe(value)` in words."""
Events: TypeAlias = Edges | Pwm | Lines
"""What comes at moments."""


class Windowed(Struct, frozen=True, kw_only=True):
    """A check of a part of the trial."""

    window: Window = WHOLE


class At(Struct, frozen=True):
    """The state at a time."""

    subject: State
    at_ms: float


class Within(Struct, frozen=True):
    """An LED has the color for the first time by then."""

    subject: LedColor
    within_ms: float


class EdgeAt(Struct, frozen=True):
    """An edge at a time."""

    subject: Edges
    at_ms: float
    slack_ms: float


class Frequency(Struct, frozen=True):
    """The frequency of PWM, throughout."""

    subject: Pwm
    frequency_hz: float
    tolerance: float


class Phase(Windowed, frozen=True):
    """The time that the state lasts each time."""

    subject: Level | LedColor
    length_ms: float
    tolerance: float


class Period(Windowed, frozen=True):
    """From each event to the next, all through the window."""

    subject: Events
    period_ms: float
    tolerance: float


class Count(Windowed, frozen=True):
    """Exactly so many events, or at least one (None)."""

    subject: Edges | Lines
    count: int | None


class Duty(Windowed, frozen=True):
    """The share of each period that the pin has the level; `points` is the tolerance in percentage points."""

    subject: Level
    percent: float
    points: float


class Hold(Windowed, frozen=True):
    """The state all through the window, where `condition` holds."""

    subject: Level
    condition: Level | None = None


class Ramp(Windowed, frozen=True):
    """The duty goes from `start` percent to the state's, without turning back; `tolerance` None: within that time."""

    subject: PwmDuty
    start: float
    within_ms: float
    tolerance: float | None


class Reaction(Struct, frozen=True):
    """Each time `trigger.pin` goes to `trigger.level`, the effect follows within `within_ms`, and only then.

    The effect is the state, or so many of the events. A trigger that bounces is one trigger, and its time counts from
    the last bounce. `for_ms`: the pin goes back so long after it.
    """

    trigger: Level
    condition: Level | None
    subject: Level | PwmDuty | LedColor | Edges | Lines
    within_ms: float
    count: int = 1
    for_ms: float | None = None
    tolerance: float = 0.05


Check: TypeAlias = At | Within | EdgeAt | Frequency | Phase | Period | Count | Duty | Hold | Ramp | Reaction


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
