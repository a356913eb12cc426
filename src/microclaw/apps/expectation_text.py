"""Reads expectations from text, one a line. docs/proof.md has the grammar; a test reads its examples from there.

A line is a list of tokens with one space between them; each form of a line, or of a part between commas, is a pattern
over them whose capital words are values (_VALUES).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from microclaw.apps.colors import COLOR_NAMES, Color
from microclaw.apps.expectations import (
    MAX_ADC_V,
    AdcStimulus,
    Check,
    Duty,
    EdgeAt,
    EdgeCount,
    Effect,
    ExpectationLine,
    Expectations,
    Hold,
    LedAt,
    LedEffect,
    LedPhase,
    LedWithin,
    Level,
    LevelAt,
    LogCount,
    LogEffect,
    LogEvery,
    Period,
    PhaseLength,
    PinEffect,
    PinStimulus,
    PwmAt,
    PwmEffect,
    PwmFrequency,
    PwmPeriod,
    PwmRamp,
    Reaction,
    SensorStimulus,
    ServoAt,
    StayEffect,
    Stimulus,
    Window,
)
from microclaw.apps.line_pattern import parse_line_pattern
from microclaw.errors import ConfigError
from microclaw.text import code_lines

MAX_TEXT_CHARS = 16_384
MAX_LINES = 100
MAX_STIMULI = 500
SHARE: Final = 0.05
"""The tolerance of a time when the text gives none; a duty's is as many percentage points."""
AT_SLACK_MS: Final = 20.0
MIN_DUTY_POINTS: Final = 0.5
MAX_DUTY_POINTS: Final = 2.5
"""Of an exact duty: a step of 8 bits is 0.39; a servo turns 45 degrees in 2.3 points."""
SERVO_RANGES_US: Final = ((500.0, 2500.0), (544.0, 2400.0))
"""The pulses of 0 and 180 degrees: microclaw's servo (firmware/fw/microclaw.py), Arduino's Servo."""
SERVO_SLACK_DEG: Final = 5.0
SENSOR_UNITS: Final = {
    "temperature": "temperature_c",
    "humidity": "humidity_pct",
    "pressure": "pressure_hpa",
    "voltage": "voltage_v",
    "current": "current_ma",
    "power": "power_mw",
}
EXAMPLES: Final = {
    "pin": "pin 2: period 1 s, duty 50 %",
    "when": "when pin 4 falls: pin 2 rises within 50 ms",
    "pwm": "pwm 5: 0 -> 100 % within 2 s",
    "led": "led 48: red within 100 ms, off at 5 s",
    "servo": "servo 5: 90 deg at 1 s",
    "log": 'log ~ "hello" within 1 s',
    "set": "set pin 4 = 0 at 2 s",
    "bounce": "bounce pin 6 at 4 s for 20 ms",
    "i2c": "i2c.bme280.temperature = 31 at 4 s",
    "adc": "adc 1 = 1.65 V at 2 s",
    "for": "for 30 s",
    "uptime": "uptime 49 d",
    "soak": "soak 5 min",
}
"""A whole line of each kind, by its first word."""


def parse_expectations(text: str) -> Expectations:
    """Read the lines. Raises ConfigError with line, column and an example of such a line."""
    if len(text) > MAX_TEXT_CHARS or len(rows := code_lines(text)) > MAX_LINES:
        raise ConfigError(
            f"the expectations are longer than {MAX_LINES} lines or {MAX_TEXT_CHARS:,} characters",
            next_step="keep one line for each thing that the program must do",
        )
    lines: list[ExpectationLine] = []
    stimuli: list[Stimulus] = []
    settings: dict[str, float] = {}
    for number, row in enumerate(rows, 1):
        line = _Line(number, row)
        if not line.text:
            continue
        match line.statement():
            case (str() as name, float() as ms):
                if name in settings:
                    raise line.error(f"{name} is there twice", 0)
                settings[name] = ms
            case list() as given:
                stimuli += given
            case tuple() as checks:
                lines.append(ExpectationLine(number, line.statement_text, checks))
    if not lines:
        raise ConfigError("the expectations expect nothing of the program", next_step=f"write: {EXAMPLES['pin']}")
    if len(stimuli) > MAX_STIMULI:
        raise ConfigError(f"more than {MAX_STIMULI} stimuli", next_step="keep those that a check needs")
    stimuli.sort(key=lambda one: one.at_ms)
    return Expectations(
        text, tuple(lines), tuple(stimuli), settings.get("for"), settings.get("uptime"), settings.get("soak")
    )


_UNITS_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
_DAY_MS: Final = 86_400_000.0
_LEVELS: Final = {"rises": 1, "falls": 0, "high": 1, "low": 0}
_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)'
    r"|(?P<sign>\+-|±|->|→|[:,=~%.])|(?P<space>\s+)|(?P<comment>#.*)|(?P<other>.)"
)


def _ms(most_ms: float = _DAY_MS, *, zero: bool = False) -> Callable[[str, str], float]:
    def read(value: str, unit: str) -> float:
        ms = float(value) * _UNITS_MS[unit]
        if ms > most_ms or ms < 0 or (ms == 0 and not zero):
            raise ValueError(
                f"{value} {unit} is no time here: {'0 s or more' if zero else 'more than 0 s'}, "
                f"at most {most_ms / 1000:g} s"
            )
        return ms

    return read


def _number(what: str, least: float, most: float, *, whole: bool = False) -> Callable[[str], Any]:
    def read(value: str) -> Any:
        if not least <= float(value) <= most or (whole and float(value) != int(float(value))):
            raise ValueError(f"{value} is no {what}: {least:g} to {most:g}")
        return int(float(value)) if whole else float(value)

    return read


_percent = _number("share", 0, 100)


def _share(value: str | None) -> float | None:
    return None if value is None else _percent(value) / 100


def _color(name: str | None, red: str | None, green: str | None, blue: str | None, slack: str | None) -> Color:
    if red is None or green is None or blue is None:
        return Color(name)
    part = _number("part of a color", 0, 255, whole=True)
    share = _share(slack)
    return Color(None, (part(red), part(green), part(blue)), 255 * (SHARE if share is None else share))


def _led(pin: str, index: str | None) -> tuple[int, int | None]:
    return _pin(pin), None if index is None else _number("LED's number", 0, 4095, whole=True)(index)


def _condition(pin: str | None, level: str | None) -> Level | None:
    return None if pin is None or level is None else Level(_pin(pin), _LEVELS[level])


_pin = _number("pin", 0, 63, whole=True)
_N: Final = r"(-?\d+(?:\.\d+)?)"
_TIME: Final = rf"{_N} ({'|'.join(_UNITS_MS)})"
_TOLERANCE: Final = rf"(?: (?:\+-|±) {_N} %)?"
_VALUES: Final[dict[str, tuple[str, Callable[..., Any]]]] = {
    "PIN": (_N, _pin),
    "TIME": (_TIME, _ms()),
    "MOMENT": (_TIME, _ms(zero=True)),
    "BOUNCE": (_TIME, _ms(1000.0)),
    "UPTIME": (_TIME, _ms(365 * _DAY_MS)),
    "TOL": (_TOLERANCE, _share),
    "PERCENT": (f"{_N} %", _percent),
    "DUTY": (f"{_N}(?: %)?", _number("duty", 0, 100)),
    "COUNT": (_N, _number("count", 0, 1_000_000, whole=True)),
    "LINES": (_N, _number("count", 0, 100_000, whole=True)),
    "LEVEL": (_N, _number("level", 0, 1, whole=True)),
    "NUMBER": (_N, float),
    "VOLTS": (f"{_N}(?: V)?", _number("voltage of an ADC pin", 0, MAX_ADC_V)),
    "QUANTITY": (f"({'|'.join(SENSOR_UNITS)})", SENSOR_UNITS.__getitem__),
    "PULSE": (_N, _number("pulse of a servo in us", 0.001, 20_000)),
    "ANGLE": (_N, _number("angle of a servo", 0, 180)),
    "EDGE": ("(rises|falls)", _LEVELS.__getitem__),
    "STATE": ("(high|low)", _LEVELS.__getitem__),
    "WORD": ("([A-Za-z_][A-Za-z0-9_]*)", str),
    "WHILE": ("(?: while pin " + _N + " (high|low))?", _condition),
    "LED": (f"{_N}(?: \\[ {_N} \\])?", _led),
    "COLOR": (f"(?:({'|'.join(COLOR_NAMES)})|{_N} , {_N} , {_N}{_TOLERANCE})", _color),
    "PATTERN": (
        r'~ ("(?:[^"\\]|\\.)*")',
        lambda text: parse_line_pattern(text[1:-1].replace('\\"', '"')),
    ),
}
_OPTIONAL: Final = frozenset(("TOL", "WHILE"))
"""Values that bring the space before them."""


@dataclass(frozen=True, slots=True)
class _Form:
    """A pattern over tokens, and what makes something of its values: `make(*values)`."""

    pattern: re.Pattern[str]
    values: tuple[tuple[int, Callable[..., Any]], ...]

    def read(self, found: re.Match[str]) -> list[Any]:
        groups, read, at = found.groups(), [], 0
        for count, convert in self.values:
            read.append(convert(*groups[at : at + count]))
            at += count
        return read


@cache
def _form(text: str) -> _Form:
    """`text` as in _PARTS: words stand for themselves, capital ones for values."""
    pattern = ""
    values: list[tuple[int, Callable[..., Any]]] = []
    for word in text.split():
        part, convert = _VALUES.get(word, (word, None))
        pattern += part if word in _OPTIONAL or not pattern else f" {part}"
        if convert is not None:
            values.append((re.compile(part).groups, convert))
    return _Form(re.compile(rf"(?:{pattern})(?= |$)"), tuple(values))


def _or_share(tolerance: float | None) -> float:
    return SHARE if tolerance is None else tolerance


def _points(percent: float, tolerance: float | None) -> float:
    """How far a duty may be off: 5 % of it where the text gives none, but a step of 8 bits or two in any case."""
    return min(MAX_DUTY_POINTS, max(MIN_DUTY_POINTS, SHARE * percent)) if tolerance is None else 100 * tolerance


def _edge_at(pin: int, level: int, at_ms: float, tolerance: float | None) -> EdgeAt:
    return EdgeAt(pin, level, at_ms, max(AT_SLACK_MS, _or_share(tolerance) * at_ms))


def _angle(pin: int, angle: float, at_ms: float) -> ServoAt:
    pulses = tuple(least + (most - least) * angle / 180 for least, most in SERVO_RANGES_US)
    least, most = SERVO_RANGES_US[0]
    return ServoAt(pin, pulses, at_ms, (most - least) * SERVO_SLACK_DEG / 180)


_Part: TypeAlias = tuple[str, Callable[..., Check]]
# What makes a check of the subject (a pin, an LED), the window and the values.
_PARTS: Final[dict[str, tuple[_Part, ...]]] = {
    "pin PIN": (
        ("EDGE at MOMENT TOL", lambda pin, _, *values: _edge_at(pin, *values)),
        ("STATE for TIME TOL", lambda p, w, level, ms, tol: PhaseLength(p, level, ms, _or_share(tol), w)),
        ("STATE at TIME", lambda p, _, level, ms: LevelAt(p, level, ms)),
        ("STATE WHILE", lambda p, w, level, condition: Hold(p, level, w, condition)),
        ("always STATE WHILE", lambda p, w, level, condition: Hold(p, level, w, condition)),
        ("never STATE WHILE", lambda p, w, level, condition: Hold(p, 1 - level, w, condition)),
        ("period TIME TOL", lambda p, w, ms, tol: Period(p, ms, _or_share(tol), w)),
        ("duty PERCENT TOL", lambda p, w, percent, tol: Duty(p, percent, 100 * _or_share(tol), w)),
        ("COUNT edges?", lambda p, w, count: EdgeCount(p, count, False, w)),
        ("COUNT pulses?", lambda p, w, count: EdgeCount(p, count, True, w)),
    ),
    "pwm PIN": (
        ("period TIME TOL", lambda p, w, ms, tol: PwmPeriod(p, ms, _or_share(tol), w)),
        ("NUMBER Hz TOL", lambda p, _, hz, tol: PwmFrequency(p, hz, _or_share(tol))),
        ("DUTY at TIME TOL", lambda p, _, duty, ms, tol: PwmAt(p, duty, ms, _points(duty, tol))),
        ("DUTY (?:->|→) PERCENT within TIME", lambda p, w, start, end, ms: PwmRamp(p, start, end, ms, None, w)),
        (
            "DUTY (?:->|→) PERCENT in TIME TOL",
            lambda p, w, start, end, ms, tol: PwmRamp(p, start, end, ms, _or_share(tol), w),
        ),
    ),
    "led LED": (
        ("COLOR at TIME", lambda led, _, color, ms: LedAt(led[0], led[1], color, ms)),
        ("COLOR within TIME", lambda led, _, color, ms: LedWithin(led[0], led[1], color, ms)),
        ("COLOR for TIME TOL", lambda led, w, color, ms, tol: LedPhase(led[0], led[1], color, ms, _or_share(tol), w)),
    ),
    "servo PIN": (
        ("off at TIME", lambda p, _, ms: ServoAt(p, (0.0,), ms, 1.0)),
        ("ANGLE deg(?:rees)? at TIME", lambda p, _, angle, ms: _angle(p, angle, ms)),
        ("PULSE us TOL at TIME", lambda p, _, us, tol, ms: ServoAt(p, (us,), ms, us * _or_share(tol))),
    ),
}
_EFFECTS: Final[tuple[tuple[str, Callable[..., tuple[Effect, float, float | None, float | None]]], ...]] = (
    ("log PATTERN within TIME", lambda pattern, ms: (LogEffect(pattern), ms, None, None)),
    (
        "pwm PIN (?:->|→) PERCENT TOL within TIME",
        lambda p, percent, tol, ms: (PwmEffect(p, percent, _points(percent, tol)), ms, None, None),
    ),
    ("led LED (?:->|→) COLOR within TIME", lambda led, color, ms: (LedEffect(led[0], led[1], color), ms, None, None)),
    ("pin PIN stays for TIME", lambda p, ms: (StayEffect(p), ms, None, None)),
    ("pin PIN toggles within TIME", lambda p, ms: (PinEffect(p, None), ms, None, None)),
    ("pin PIN EDGE within TIME for TIME TOL", lambda p, level, ms, *more: (PinEffect(p, level), ms, *more)),
    ("pin PIN EDGE within TIME", lambda p, level, ms: (PinEffect(p, level), ms, None, None)),
)
_LOGS: Final[tuple[tuple[str, Callable[..., Check]], ...]] = (
    ("log every TIME TOL PATTERN", lambda w, ms, tol, pattern: LogEvery(pattern, ms, _or_share(tol), w)),
    ("log PATTERN within TIME", lambda _, pattern, ms: LogCount(pattern, None, Window(0.0, ms))),
    ("log never PATTERN within TIME", lambda _, pattern, ms: LogCount(pattern, 0, Window(0.0, ms))),
    ("log LINES times? PATTERN within TIME", lambda _, n, pattern, ms: LogCount(pattern, n, Window(0.0, ms))),
    ("log PATTERN", lambda w, pattern: LogCount(pattern, None, w)),
    ("log never PATTERN", lambda w, pattern: LogCount(pattern, 0, w)),
    ("log LINES times? PATTERN", lambda w, n, pattern: LogCount(pattern, n, w)),
)
_STIMULI: Final[tuple[tuple[str, Callable[..., Stimulus]], ...]] = (
    ("set pin PIN = LEVEL at MOMENT", PinStimulus),
    ("bounce pin PIN at MOMENT for BOUNCE", lambda p, at_ms, bounce_ms: PinStimulus(p, None, at_ms, bounce_ms)),
    ("adc PIN = VOLTS at MOMENT", AdcStimulus),
    (r"i2c \. WORD \. QUANTITY = NUMBER at MOMENT", SensorStimulus),
)
_SETTINGS: Final = {"for": "TIME", "uptime": "UPTIME", "soak": "MOMENT"}
_WINDOW: Final = re.compile(rf"(?: from {_TIME})?(?: until {_TIME})?$")


class _Line:
    """One line: its tokens with a space between them, and where they stand in the text."""

    def __init__(self, number: int, row: str) -> None:
        tokens = [found for found in _TOKEN.finditer(row) if found.lastgroup not in ("space", "comment")]
        self._number = number
        self._columns = [found.start() + 1 for found in tokens]
        self._words = [found[0] for found in tokens]
        self.text = " ".join(self._words)
        self.statement_text = row[tokens[0].start() : tokens[-1].end()] if tokens else ""

    def error(self, problem: str, at: int, instead: str | None = None) -> ConfigError:
        """`at`: a place in `text`."""
        place = 0
        while place < len(self._words) - 1 and at > len(" ".join(self._words[: place + 1])):
            place += 1
        example = EXAMPLES.get(self._words[0], EXAMPLES["pin"])
        return ConfigError(
            f"expectations, line {self._number}, column {self._columns[place]}: {problem}",
            next_step=instead or f"write it as: {example}",
        )

    def statement(self) -> tuple[Check, ...] | list[Stimulus] | tuple[str, float]:
        first = self._words[0]
        if first in _SETTINGS:
            _, (ms,), _ = self._read((f"{first} {_SETTINGS[first]}",), 0, len(self.text))
            return first, ms
        if first in ("set", "bounce", "i2c", "adc"):
            return self._stimuli()
        if first == "when":
            return (self._reaction(),)
        if first == "log":
            window, end = self._window()
            form, values, _ = self._read([form for form, _ in _LOGS], 0, end)
            if "within" in form and end < len(self.text):
                raise self.error("within has a window already", end + 1)
            return (dict(_LOGS)[form](window, *values),)
        subject = next((one for one in _PARTS if one.startswith(f"{first} ")), None)
        if subject is None:
            raise self.error(f"no line begins with {first!r}", 0)
        return tuple(self._parts(subject))

    def _parts(self, subject: str) -> Iterator[Check]:
        window, end = (Window(), len(self.text)) if subject.startswith("servo") else self._window()
        _, (whose,), at = self._read((f"{subject} :",), 0)
        while True:
            form, values, at = self._read([form for form, _ in _PARTS[subject]], at + 1, end, ends=(" , ",))
            yield dict(_PARTS[subject])[form](whose, window, *values)
            if at == end:
                return
            at += len(" ,")

    def _reaction(self) -> Reaction:
        _, (pin, edge, condition), at = self._read(("when pin PIN EDGE WHILE :",), 0)
        form, values, _ = self._read([form for form, _ in _EFFECTS], at + 1, len(self.text))
        effect, within_ms, for_ms, tolerance = dict(_EFFECTS)[form](*values)
        if isinstance(effect, PinEffect | StayEffect) and effect.pin == pin:
            raise self.error("a pin cannot answer itself", at + 1)
        return Reaction(Level(pin, edge), condition, effect, within_ms, for_ms, _or_share(tolerance))

    def _stimuli(self) -> list[Stimulus]:
        more = () if self._words[0] == "bounce" else (" , ",)
        form, values, at = self._read([form for form, _ in _STIMULI], 0, len(self.text), ends=more)
        make = dict(_STIMULI)[form]
        found = [make(*values)]
        while at < len(self.text):
            _, (at_ms,), at = self._read(("MOMENT",), at + len(" , "), len(self.text), ends=more)
            found.append(make(*values[:-1], at_ms))
        return found

    def _window(self) -> tuple[Window, int]:
        """The `from` and `until` at the line's end, which are of all its parts, and where they begin."""
        found = _WINDOW.search(self.text)
        assert found is not None  # it may be empty
        begin, begin_unit, end, end_unit = found.groups()
        try:
            from_ms = _ms(zero=True)(begin, begin_unit) if begin else 0.0
            until_ms = _ms()(end, end_unit) if end else None
        except ValueError as exc:
            raise self.error(str(exc), found.start() + 1) from exc
        if until_ms is not None and until_ms <= from_ms:
            raise self.error("it ends before it begins", found.start() + 1)
        return Window(from_ms, until_ms), found.start()

    def _read(
        self, forms: Sequence[str], at: int, end: int | None = None, ends: tuple[str, ...] = ()
    ) -> tuple[str, list[Any], int]:
        """The first form that stands at a place up to `end`, or to one of `ends`; its values, and where it ends."""
        for text in forms:
            form = _form(text)
            found = form.pattern.match(self.text, at, len(self.text) if end is None else end)
            if found is None or not (end in (None, found.end()) or self.text.startswith(ends or "\0", found.end())):
                continue
            try:
                return text, form.read(found), found.end()
            except ValueError as exc:
                raise self.error(str(exc), at) from exc
            except ConfigError as exc:
                raise self.error(exc.message, at, exc.next_step) from exc
        rest = self.text[at:end]
        raise self.error(f"{rest!r:.60} cannot be read" if rest else "the line ends too early", at)
