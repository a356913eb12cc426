"""A pattern's expectations with its values put in, in the language of docs/proof.md. It tries nothing.

In the text of a pattern, `{NAME}` is a value, `{A+2*B}` is computed, `{milli:A+B}` is that in thousandths, as a decimal
number. A value may be a fraction: the value that the user wanted, if the program got a whole number. A line that
begins with `{?NAME}` is kept only if NAME is not 0, with `{!NAME}` only if it is 0. A line with a time above
MAX_EXPECTED_MS is left out, because a person waits for the trial. If no check is left, the text is empty. Besides the
parameters there are:

- LIGHTS, DARKENS: the edges that switch it on and off; LIT, UNLIT: the levels; OFF_SHARE, DUTY_SHARE: duties of PWM in
  percent. They are reversed if ON is 0.
- STATE_1: LEVEL_1 in words. MOVES: 1 if a step moves a pin at all; SECOND: 1 if a second step does, too.
- QUICK: 1 if a few turns of a fade take less than an hour of steps.
- EFFECT_CHASE: 1 if the word of a parameter EFFECT is "chase", else 0; so for each parameter that is a word.
- SENSOR, SAMPLE: the part that measures QUANTITY, and a whole value that is not its default; MEASURED: 1 if a trial can
  set it.
- DISPLAY_ID, DISPLAY_WIRED, TEXT_SHOWN, ...: for a display and for a text that is shown (displays.py).
- START_MS: how long after its installation a program begins.
- SIDE, BEYOND, WITHIN, BETWEEN: for a limit in thousandths. -1 if below switches on; a value that switches on, a value
  that switches off, a value in the hysteresis. REACHED: 1 if the sensor measures the first two, and ten readings fit
  into a trial; HELD: 1 if it also measures the third. LONG: 1 if only FOR_MS is too long for that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import prod
from typing import Final, TypeAlias

from microclaw.errors import ConfigError
from microclaw.hardware.parts.reader import ValueRange, i2c_sensors_of

Value: TypeAlias = int | str
_Words: TypeAlias = Mapping[str, Value | Fraction]

MAX_EXPECTED_MS: Final = 600_000
MAX_FADE_MS: Final = 30_000
_MARGIN_MILLI: Final = 1_000
# More than a sensor's resolution and a float's rounding take.
_LEAST_MARGIN_MILLI: Final = 150
_TERMS = r"[A-Z_0-9*+]*[A-Z][A-Z_0-9*+]*"
_HOLE = re.compile(rf"\{{(milli:)?({_TERMS})\}}")
_CONDITION = re.compile(r"\{([?!])([A-Z_0-9]+)\}")
_TIME = re.compile(r"(\d+(?:\.\d+)?) ms\b")
# A check is a line for the log, or a subject with a colon; a part that is wired for the trial has a colon, too.
_CHECK = re.compile(r"log\b|(?!wired\b)[^:~]*:")


def expected_text(pattern: str, text: str, values: _Words, start_ms: Fraction | int = 0) -> str:
    """Return the lines with the values put in. Raises ConfigError for a name that is no value."""
    words = {**values, "START_MS": start_ms, **_light_words(values), **_sensor_words(values)}
    lines = []
    has_check = False
    try:
        for line in text.splitlines(keepends=True):
            if not _is_wanted(line, words):
                continue
            expected_line = _fill_line(line, words)
            if _is_short(expected_line):
                lines.append(expected_line)
                has_check = has_check or bool(_CHECK.match(expected_line))
    except (KeyError, ValueError, OverflowError) as exc:
        raise ConfigError(f"pattern {pattern}: its expectations name {exc}, which is no parameter") from exc
    if has_check:
        return "".join(lines)
    return ""


def _is_wanted(line: str, words: _Words) -> bool:
    """Return True if the condition at the beginning of the line is met. Raises KeyError for an unknown name."""
    condition = _CONDITION.match(line)
    if condition is None:
        return True
    is_set = _number(condition[2], words) != 0
    return is_set == (condition[1] == "?")


def _is_short(line: str) -> bool:
    return all(float(time_ms) <= MAX_EXPECTED_MS for time_ms in _TIME.findall(line))


def _fill_line(line: str, words: _Words) -> str:
    """Return the line with its values, without its condition. Raises KeyError for an unknown name."""
    return _HOLE.sub(lambda hole: _hole_text(hole, words), _CONDITION.sub("", line))


def _hole_text(hole: re.Match[str], words: _Words) -> str:
    """Return the word for a hole, or its sum as a decimal number with up to three places."""
    word = words.get(hole[2])
    if isinstance(word, str) and not hole[1]:
        return word
    total = Fraction(0)
    for term in hole[2].split("+"):
        total += prod(_number(factor, words) for factor in term.split("*"))
    if hole[1]:
        total /= 1000
    return f"{float(total):.3f}".rstrip("0").rstrip(".")


def _number(factor: str, words: _Words) -> Fraction:
    if factor.isdigit():
        return Fraction(factor)
    return Fraction(words[factor])


def _light_words(values: _Words) -> dict[str, Value | Fraction]:
    """Return the words that depend on levels and duties."""
    has_second = values.get("TWO", 0) == 1
    first_is_high = values.get("LEVEL_1", 0) == 1
    second_is_high = has_second and values.get("LEVEL_2", 0) == 1
    moves = first_is_high or second_is_high
    words: dict[str, Value | Fraction] = {
        "MOVES": int(moves),
        "SECOND": int(moves and has_second),
        "QUICK": int(int(values.get("PERIOD_MS", 0)) <= MAX_FADE_MS),
    }
    duty = Fraction(values.get("DUTY", 0))
    if values.get("ON", 1) == 1:
        words |= {"LIGHTS": "rises", "DARKENS": "falls", "LIT": "high", "UNLIT": "low"}
        words |= {"OFF_SHARE": 0, "DUTY_SHARE": duty * 100 / 255}
    else:
        words |= {"LIGHTS": "falls", "DARKENS": "rises", "LIT": "low", "UNLIT": "high"}
        words |= {"OFF_SHARE": 100, "DUTY_SHARE": (255 - duty) * 100 / 255}
    for name, value in values.items():
        if name.startswith("LEVEL"):
            words[name.replace("LEVEL", "STATE")] = "high" if value else "low"
    return words


def _sensor_words(values: _Words) -> dict[str, Value | Fraction]:
    """Return the words for the quantity and its limit."""
    quantity = str(values.get("QUANTITY"))
    for part in i2c_sensors_of(quantity):
        measured = part.measures[quantity]
        if measured.sample is not None:
            words: dict[str, Value | Fraction] = {"MEASURED": 1, "SENSOR": part.name, "SAMPLE": round(measured.sample)}
            return words | _limit_words(values, measured)
    return {"MEASURED": 0, "REACHED": 0, "HELD": 0, "LONG": 0}


def _limit_words(values: _Words, measured: ValueRange) -> dict[str, Value | Fraction]:
    """Return the words for a limit, or for a setpoint, at which a thermostat switches at both ends of its swing."""
    swing = int(values.get("HYSTERESIS_MILLI", 0))
    is_above = values.get("ABOVE", 1 - int(values.get("HEATS", 0)))
    side = -1
    if is_above:
        side = 1
    if "SETPOINT_MILLI" in values:
        limit = int(values["SETPOINT_MILLI"])
        upper_swing = swing
        between = limit
    else:
        limit = int(values.get("LIMIT_MILLI", 0))
        upper_swing = 0
        between = limit - side * swing // 2
    beyond = _in_range(limit + side * (upper_swing + _MARGIN_MILLI), measured)
    within = _in_range(limit - side * (swing + _MARGIN_MILLI), measured)
    every_ms = int(values.get("EVERY_MS", 0))
    for_ms = int(values.get("FOR_MS", 0))
    is_measured = (
        10 * every_ms <= MAX_EXPECTED_MS
        and side * (beyond - limit) - upper_swing >= _LEAST_MARGIN_MILLI
        and side * (limit - within) - swing >= _LEAST_MARGIN_MILLI
    )
    is_reached = is_measured and 10 * every_ms + 4 * for_ms <= MAX_EXPECTED_MS
    is_long = is_measured and not is_reached and for_ms >= 4 * every_ms
    is_held = is_reached and swing >= 2 * _LEAST_MARGIN_MILLI
    words: dict[str, Value | Fraction] = {"SIDE": side, "BEYOND": beyond, "WITHIN": within, "BETWEEN": between}
    return words | {"REACHED": int(is_reached), "HELD": int(is_held), "LONG": int(is_long)}


def _in_range(milli: int, measured: ValueRange) -> int:
    """Return the nearest value that the sensor measures, in thousandths."""
    least = round(measured.least * 1000)
    most = round(measured.most * 1000)
    return min(max(milli, least), most)
