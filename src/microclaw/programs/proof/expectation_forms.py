"""The forms of a line of expectations: their words, and what their values make. It reads no line.

A line is a head and its parts (LINES). Each is a pattern whose capital words are values (expectation_values.py), and
the values of both make a check, a stimulus or a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from msgspec import Struct

from microclaw.errors import ConfigError
from microclaw.hardware.parts.reader import parts, quantities
from microclaw.programs.proof.assumed_parts import AssumedKey
from microclaw.programs.proof.checks import At, Count, EdgeAt, Hold, Period, Phase, Within
from microclaw.programs.proof.expectation_values import SHARE
from microclaw.programs.proof.expectations import (
    FADE_POINTS,
    EdgeMoments,
    LedColor,
    LevelState,
    PartShows,
    PartTrigger,
    PwmDuty,
    PwmMoments,
    ScreenMoments,
    ServoPulse,
)
from microclaw.programs.proof.network_events import Sent
from microclaw.programs.proof.network_lines import (
    answer_of,
    away_at,
    broker_at,
    message_at,
    other_answer,
    sent_parts,
    visit_at,
)
from microclaw.programs.proof.pwm_checks import Duty, Frequency, Ramp
from microclaw.programs.proof.reaction import PartReaction, Reaction, reaction_to
from microclaw.programs.proof.screen_checks import (
    ScreenAt,
    ScreenEvery,
    ScreenNever,
    ScreenOnce,
    ScreenShows,
)
from microclaw.programs.proof.stimuli import AdcStimulus, PartStimulus, PinStimulus

AT_SLACK_MS: Final = 20.0
MIN_DUTY_POINTS: Final = 0.5
MAX_DUTY_POINTS: Final = 2.5
"""Of an exact duty: a step of 8 bits is 0.39; a servo turns 45 degrees in 2.3 points."""
SERVO_RANGES_US: Final = ((500.0, 2500.0), (544.0, 2400.0))
"""The pulses of 0 and 180 degrees: microclaw's servo (firmware/fw/microclaw.py), Arduino's Servo."""
SERVO_SLACK_US: Final = 2000 * 5 / 180  # 5 degrees


def _duty(pin: int, percent: float, points: float | None) -> PwmDuty:
    """Return the duty; without a tolerance in the text it is 5 % of the duty, but at least a step of 8 bits or two."""
    if points is None:
        points = min(MAX_DUTY_POINTS, max(MIN_DUTY_POINTS, SHARE * percent))
    return PwmDuty(pin, percent, points)


def _edge_at(pin: int, level: int, at_ms: float, tolerance: float) -> EdgeAt:
    return EdgeAt(EdgeMoments(pin, level), at_ms, max(AT_SLACK_MS, tolerance * at_ms))


def _ramp(pin: int, start: float, end: float, ms: float, tolerance: float | None = None) -> Ramp:
    return Ramp(PwmDuty(pin, end, FADE_POINTS), start, ms, tolerance)


def _angle(pin: int, angle: float, at_ms: float) -> At:
    pulses_us = tuple(least + (most - least) * angle / 180 for least, most in SERVO_RANGES_US)
    return At(ServoPulse(pin, pulses_us, SERVO_SLACK_US), at_ms)


def _reaction(
    trigger: LevelState | PartTrigger, condition: LevelState | None, subject: Any, within_ms: float, *rest: Any
) -> Reaction | PartReaction:
    if isinstance(trigger, PartTrigger):
        return PartReaction(subject, trigger, condition, within_ms, rest)
    return reaction_to(trigger, condition, subject, within_ms, *rest)


def _on_bus(sensor: str, quantity: str, number: float, at_ms: float) -> PartStimulus:
    if quantity not in quantities():
        raise ValueError(f"{quantity} is no quantity: {', '.join(quantities())}")
    return PartStimulus(sensor, at_ms, number, quantity, on_bus=True)


def _value(part: str, value: str, number: float, unit: str | None, at_ms: float) -> PartStimulus:
    return PartStimulus(part, at_ms, number, value, unit)


def _only_value(part: str, number: float, unit: str | None, at_ms: float) -> PartStimulus:
    return PartStimulus(part, at_ms, number, unit=unit)


class Kind(Struct, frozen=True):
    """A kind of line, by its first word: `make(*values of the head, *values of the part)` for each part.

    `examples`: lines with one part each; an error shows the one that is most like the wrong line.
    `many`: parts are separated by commas. `windowed`: a window may end the line, which is of all its parts.
    """

    examples: tuple[str, ...]
    head: str
    parts: Mapping[str, Callable[..., Any]]
    many: bool = True
    windowed: bool = False


_SCREEN_PARTS: Final[dict[str, Callable[..., Any]]] = {
    "SHOWN every TIME TOL": lambda part, text, ms, tol: ScreenEvery(ScreenShows(part, text), ms, tol),
    "SHOWN at TIMES": lambda part, text, ms: ScreenAt(ScreenShows(part, text), ms),
    "SHOWN LIMIT": lambda part, text, window: ScreenOnce(ScreenShows(part, text), window=window),
    "never SHOWN LIMIT": lambda part, text, window: ScreenNever(ScreenShows(part, text), window=window),
    "changes every TIME TOL": lambda part, ms, tol: Period(ScreenMoments(part), ms, tol),
}

LINES: Final[dict[str, Kind]] = {
    "pin": Kind(
        (
            "pin 2: period 1 s",
            "pin 2: duty 50 %",
            "pin 5: 3 pulses",
            "pin 4: 2 pulses within 1 s",
            "pin 5: high for 200 ms",
            "pin 3: rises at 0 s, 200 ms, 1 s",
            "pin 4: high at 4 s",
            "pin 5: low from 2 s until 10 s",
            "pin 7: never high while pin 8 high",
            "pin 7: never high",
        ),
        "pin PIN :",
        {
            "EDGE at TIMES TOL": _edge_at,
            "STATE for TIME TOL": lambda pin, level, ms, tol: Phase(LevelState(pin, level), ms, tol),
            "STATE at TIMES": lambda pin, level, ms: At(LevelState(pin, level), ms),
            r"(?:always\b)? STATE WHILE": lambda pin, level, condition: Hold(LevelState(pin, level), condition),
            "never STATE WHILE LEAST": lambda pin, level, condition, ms: Hold(
                LevelState(pin, 1 - level), condition, ms
            ),
            "period TIME TOL": lambda pin, ms, tol: Period(EdgeMoments(pin, 1), ms, tol),
            "duty PERCENT TOL": lambda pin, percent, tol: Duty(LevelState(pin, 1), percent, 100 * tol),
            "COUNT edges?": lambda pin, count: Count(EdgeMoments(pin), count),
            "COUNT pulses?": lambda pin, count: Count(EdgeMoments(pin, 1), count),
            "GROUP pulses? within TIME TOL": lambda pin, count, ms, tol: Period(EdgeMoments(pin, 1), ms, tol, count),
        },
        windowed=True,
    ),
    "pwm": Kind(
        ("pwm 9: 50 % at 2 s", "pwm 5: 0 -> 100 % within 2 s", "pwm 5: period 4 s", "pwm 5: 1000 Hz"),
        "pwm PIN :",
        {
            "period TIME TOL": lambda pin, ms, tol: Period(PwmMoments(pin), ms, tol),
            "NUMBER Hz TOL": lambda pin, hz, tol: Frequency(PwmMoments(pin), hz, tol),
            "DUTY at TIMES POINTS": lambda pin, duty, ms, points: At(_duty(pin, duty, points), ms),
            "DUTY (?:->|→) PERCENT within TIME": _ramp,
            "DUTY (?:->|→) PERCENT in TIME TOL": _ramp,
        },
        windowed=True,
    ),
    "led": Kind(
        ("led 48: red within 100 ms", "led 48[0]: 255,180,0 at 1 s", "led 48: blue for 500 ms"),
        "led PIN INDEX :",
        {
            "COLOR at TIMES": lambda pin, index, color, ms: At(LedColor(pin, index, color), ms),
            "COLOR within TIME": lambda pin, index, color, ms: Within(LedColor(pin, index, color), ms),
            "COLOR for TIME TOL": lambda pin, index, color, ms, tol: Phase(LedColor(pin, index, color), ms, tol),
        },
        windowed=True,
    ),
    "servo": Kind(
        ("servo 4: 90 deg at 1 s", "servo 4: 1500 us at 1 s"),
        "servo PIN :",
        {
            "off at TIMES": lambda pin, ms: At(ServoPulse(pin, (0.0,), 1.0), ms),
            "ANGLE deg(?:rees)? at TIMES": _angle,
            "PULSE us TOL at TIMES": lambda pin, us, tol, ms: At(ServoPulse(pin, (us,), us * tol), ms),
        },
    ),
    "log": Kind(
        ('log ~ "ready.*"', 'log every 5 s ~ "temp .*"', 'log 3 times ~ "count .*"', 'log never ~ "error.*"'),
        "log",
        {
            "every TIME TOL PATTERN": lambda ms, tol, lines: Period(lines, ms, tol),
            "PATTERN LIMIT": lambda lines, window: Count(lines, None, window=window),
            "never PATTERN LIMIT": lambda lines, window: Count(lines, 0, window=window),
            "LINES times? PATTERN LIMIT": lambda count, lines, window: Count(lines, count, window=window),
        },
        many=False,
        windowed=True,
    ),
    "screen": Kind(
        (
            'screen: "Hello" within 2 s',
            'screen oled1: ~ "\\d+ °C" every 5 s',
            'screen: "Ready" at 3 s',
            "screen: blank at 1 s",
            'screen: never "Error"',
            "screen: changes every 1 s",
        ),
        "screen DISPLAY :",
        _SCREEN_PARTS,
        windowed=True,
    ),
    "display": Kind(('display: "42" at 2 s',), "display DISPLAY :", _SCREEN_PARTS, windowed=True),
    "http": Kind(
        (
            'http GET api.example.org/x -> 200 {"t": 21}',
            "http GET api.example.org/x -> 500 after 300 ms",
            "http GET api.example.org/x -> refused",
            "http GET api.example.org/x -> no answer",
            'http POST api.example.org/log ~ "t=.*" every 5 s',
        ),
        "http TARGET",
        {
            "(?:->|→) refused": other_answer("refused"),
            "(?:->|→) no answer": other_answer("no answer"),
            "(?:->|→) STATUS HEADERS BODY AFTER": answer_of,
            **sent_parts(lambda target, pattern: Sent("asked", target.accepted_texts, pattern)),
        },
        many=False,
    ),
    "mqtt": Kind(
        (
            "mqtt broker test.example.org",
            'mqtt home/state ~ "on" within 2 s',
            'mqtt home/state ~ ".*" every 5 s',
            'mqtt home/state 3 times ~ "on"',
            'mqtt home/state never ~ "error"',
        ),
        "mqtt TOPIC",
        {**sent_parts(lambda topic, pattern: Sent("published", (topic,), pattern)), "ADDRESS": broker_at},
        many=False,
        windowed=True,
    ),
    "at": Kind(
        (
            'at 2 s mqtt home/lamp "on"',
            "at 10 s mqtt broker test.example.org away for 1 h",
            'at 3 s http GET :80/led/on -> 200 ~ "on"',
            'at 3 s http POST :80/led "on=1" -> 200',
        ),
        "at",
        {
            "TIMES mqtt TOPIC TEXT": message_at,
            "TIMES mqtt broker ADDRESS away for TIME": away_at,
            "TIMES http METHOD PLACE FORM WANTED": visit_at,
        },
        many=False,
    ),
    "when": Kind(
        (
            "when pin 4 falls: pin 2 rises within 50 ms",
            "when pin 4 falls: pin 2 rises within 50 ms for 2 s",
            "when pin 4 falls: pin 2 toggles within 50 ms",
            "when pin 6 rises while pin 4 low: pin 7 stays for 300 ms",
            'when pin 4 falls: log ~ "pressed" within 100 ms',
            'when pin 4 falls: mqtt home/button ~ "on" within 200 ms',
            "when pin 4 falls: pwm 5 -> 40 % within 100 ms",
            "when pin 4 falls: led 48 -> green within 100 ms",
            "when btn1 is pressed: pin 2 rises within 50 ms",
        ),
        "when TRIGGER WHILE :",
        {
            "log PATTERN within TIME": _reaction,
            "mqtt TOPIC PATTERN within TIME": lambda when, only, topic, lines, ms: _reaction(
                when, only, Sent("published", (topic,), lines.pattern), ms
            ),
            "pwm PIN (?:->|→) PERCENT POINTS within TIME": lambda when, only, pin, duty, points, ms: _reaction(
                when, only, _duty(pin, duty, points), ms
            ),
            "led PIN INDEX (?:->|→) COLOR within TIME": lambda when, only, pin, index, color, ms: _reaction(
                when, only, LedColor(pin, index, color), ms
            ),
            "pin PIN stays for TIME": lambda when, only, pin, ms: _reaction(when, only, EdgeMoments(pin), ms, 0),
            "pin PIN toggles within TIME": lambda when, only, pin, ms: _reaction(when, only, EdgeMoments(pin), ms),
            "pin PIN EDGE within TIME": lambda when, only, pin, to, ms: _reaction(when, only, LevelState(pin, to), ms),
            "pin PIN EDGE within TIME for TIME TOL": lambda when, only, pin, to, ms, for_ms, tol: _reaction(
                when, only, LevelState(pin, to), ms, 1, for_ms, tol
            ),
        },
        many=False,
    ),
    "set": Kind(("set pin 4 = 0 at 2 s, 6 s",), "set pin PIN = LEVEL at", {"TIMES": PinStimulus}),
    "bounce": Kind(
        ("bounce pin 6 at 4 s for 20 ms",),
        "bounce pin PIN at MOMENT for",
        {"BOUNCE": lambda pin, at_ms, bounce_ms: PinStimulus(pin, None, at_ms, bounce_ms)},
        many=False,
    ),
    "i2c": Kind(("i2c.sensor1.temperature = 31 at 4 s",), r"i2c \. WORD \. WORD = NUMBER at", {"TIMES": _on_bus}),
    "adc": Kind(("adc 1 = 1.65 V at 2 s",), "adc PIN = VOLTS at", {"TIMES": AdcStimulus}),
    "wired": Kind(
        ("wired pot1 = potentiometer: pin 1", "wired btn1 = button: pin 4, active high"),
        "wired PART = PART :",
        {"WORD SETTING": AssumedKey},
    ),
    "for": Kind(("for 30 s",), "for", {"TIME": float}, many=False),
    "uptime": Kind(("uptime 49 d",), "uptime", {"UPTIME": float}, many=False),
    "soak": Kind(("soak 5 min",), "soak", {"MOMENT": float}, many=False),
}
"""The kinds of lines by their first word."""
_PART_LINE: Final = Kind(
    ("dht1.temperature = 31 at 4 s", "pot1 = 70 % at 2 s"),
    "PART",
    {r"\. WORD = NUMBER UNIT at TIMES": _value, "= NUMBER UNIT at TIMES": _only_value},
    many=False,
)
_SHOWN_LINE: Final = Kind(
    ("motor1: steps 200 at 2 s", "motor1: angle 90 deg +- 2 at 2 s"),
    "PART :",
    {
        "WORD NUMBER UNIT SLACK at TIMES": lambda part, name, number, unit, slack, ms: At(
            PartShows(part, name, number, unit, slack), ms
        )
    },
)
_SHOWN_TEXT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\s*:\s*[a-z_]\w*\s+-?\d")
_PART_TEXT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\s*[.=]")


def find_kind(text: str, first: str) -> Kind | None:
    """Return the kind of a line by its first word; the verbs and the values of parts come after all others."""
    if _SHOWN_TEXT.match(text):
        return _SHOWN_LINE
    kind = LINES.get(first) or _verb_kinds().get(first)
    if kind is None and _PART_TEXT.match(text):
        return _PART_LINE
    return kind


def all_examples() -> list[str]:
    """Return an example of each form of a line."""
    examples: list[str] = []
    for kind in (*LINES.values(), _SHOWN_LINE, _PART_LINE, *_verb_kinds().values()):
        examples += kind.examples
    return examples


@cache
def _verb_kinds() -> dict[str, Kind]:
    """Return the kinds of lines that begin with a verb of a part, as `press btn1 at 2 s`."""
    examples: dict[str, list[str]] = {}
    key_verbs = set[str]()
    for part in parts().values():
        for verb, stimulus in part.stimuli.items():
            examples.setdefault(verb, []).append(stimulus.example)
            if stimulus.argument == "key":
                key_verbs.add(verb)
    kinds: dict[str, Kind] = {}
    for verb, verb_examples in examples.items():
        kinds[verb] = _verb_kind(verb, verb_examples, has_keys=verb in key_verbs)
    return kinds


def _verb_kind(verb: str, examples: Sequence[str], *, has_keys: bool) -> Kind:
    def make(part: str, argument: float | str | None, at_ms: float, hold_ms: float | None) -> PartStimulus:
        return PartStimulus(part, at_ms, argument, verb=verb, hold_ms=hold_ms)

    forms: dict[str, Callable[..., PartStimulus]] = {
        "at TIMES HOLD": lambda part, at_ms, hold_ms: make(part, None, at_ms, hold_ms),
        "by NUMBER at TIMES HOLD": make,
        "KEY at TIMES HOLD": make,
    }
    if has_keys:
        forms["BARE_KEY at TIMES HOLD"] = lambda part, key, *_: _refuse_bare_key(verb, part, key)
    return Kind(tuple(examples), f"{verb} PART", forms, many=False)


def _refuse_bare_key(verb: str, part: str, key: str) -> PartStimulus:
    """Raise ConfigError with the form of the line in which the key stands in quotes."""
    raise ConfigError("a key stands in quotes", next_step=f'write it as: {verb} {part} "{key}" at 2 s for 100 ms')
