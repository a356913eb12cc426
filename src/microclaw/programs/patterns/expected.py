"""A pattern's expectations with its values put in, in the language of docs/proof.md. It tries nothing.

In the text of a pattern, `{NAME}` is a value, `{A+2*B}` is computed, `{milli:A+B}` is that in thousandths, as a decimal
number. A value may be a fraction: what was asked for, where the program got a whole number. A line that begins
with `{?NAME}` is there where NAME is not 0, with `{!NAME}` where it is 0. A line with a time
above MAX_EXPECTED_MS is left out: a person waits for the trial. Where no check is left, the text is empty. Besides the
parameters there are:

- LIGHTS, DARKENS: the edges that switch it on and off; LIT, UNLIT: the levels; OFF_SHARE, DUTY_SHARE: duties of PWM in
  percent. They are turned round where ON is 0.
- STATE_1: LEVEL_1 in words. MOVES: 1 where a step moves a pin at all, SECOND: where there is a second one, too.
- QUICK: 1 where a few turns of a fade are no hour of steps.
- EFFECT_CHASE: 1 where the word of a parameter EFFECT is "chase", else 0; so for each parameter that is a word.
- SENSOR, SAMPLE: what measures QUANTITY, and a whole value that is no default; MEASURED: 1 where a trial can set it.
- START_MS: how long after its installation a program begins.
- SIDE, BEYOND, WITHIN, BETWEEN: for a limit in thousandths. -1 where below switches on; a value that switches on, one
  that switches off, one in the hysteresis. REACHED: 1 where the sensor tells the first two, and ten
  readings fit into a trial; HELD: where it also tells the third.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import prod
from typing import Final, TypeAlias

from microclaw.errors import ConfigError

Value: TypeAlias = int | str

MAX_EXPECTED_MS: Final = 600_000
MAX_FADE_MS: Final = 30_000
_MARGIN_MILLI: Final = 1_000
_LEAST_MARGIN_MILLI: Final = 150  # beyond what a sensor's resolution and a float's rounding take
_TERMS = r"[A-Z_0-9*+]*[A-Z][A-Z_0-9*+]*"
_HOLE = re.compile(rf"\{{(milli:)?({_TERMS})\}}")
_CONDITION = re.compile(r"\{([?!])([A-Z_0-9]+)\}")
_TIME = re.compile(r"(\d+(?:\.\d+)?) ms\b")
_STIMULUS = re.compile(r"i2c\.")


_MEASURED: Final[Mapping[str, tuple[str, int, int, int]]] = {
    "temperature": ("bme280", -40, 85, 31),
    "humidity": ("bme280", 0, 100, 63),
    "pressure": ("bme280", 300, 1100, 870),
    "voltage": ("ina219", 0, 26, 12),
    "current": ("ina219", -3200, 3200, 470),
}
"""A sensor of the virtual board for each quantity: its range in the quantity's unit, a value for a trial."""


def expected_text(pattern: str, text: str, values: Mapping[str, Value | Fraction], start_ms: Fraction | int = 0) -> str:
    """The lines with the values put in. ConfigError for a name that is no value."""
    words = {**values, "START_MS": start_ms, **_light_words(values), **_sensor_words(values)}

    def number(factor: str) -> Fraction:
        return Fraction(factor if factor.isdigit() else words[factor])

    def put(hole: re.Match[str]) -> str:
        if not hole[1] and isinstance(word := words.get(hole[2]), str):
            return word
        total = Fraction(sum(prod(map(number, term.split("*"))) for term in hole[2].split("+")))
        return f"{float(total / 1000 if hole[1] else total):.3f}".rstrip("0").rstrip(".")

    lines = []
    try:
        for line in text.splitlines(keepends=True):
            condition = _CONDITION.match(line)
            if condition is None or bool(number(condition[2])) is (condition[1] == "?"):
                filled = _HOLE.sub(put, _CONDITION.sub("", line))
                if all(float(time_ms) <= MAX_EXPECTED_MS for time_ms in _TIME.findall(filled)):
                    lines.append(filled)
    except (KeyError, ValueError, OverflowError) as exc:
        raise ConfigError(f"pattern {pattern}: its expectations name {exc}, which is no parameter") from exc
    if any(not _STIMULUS.match(line) for line in lines):
        return "".join(lines)
    return ""


def _light_words(values: Mapping[str, Value | Fraction]) -> dict[str, Value | Fraction]:
    """The words that depend on levels and duties."""
    two = values.get("TWO", 0) == 1
    moves = values.get("LEVEL_1", 0) == 1 or (two and values.get("LEVEL_2", 0) == 1)
    is_lit_by_high = values.get("ON", 1) == 1
    duty = Fraction(values.get("DUTY", 0))
    return {
        "LIGHTS": "rises" if is_lit_by_high else "falls",
        "DARKENS": "falls" if is_lit_by_high else "rises",
        "LIT": "high" if is_lit_by_high else "low",
        "UNLIT": "low" if is_lit_by_high else "high",
        "MOVES": int(moves),
        "SECOND": int(moves and two),
        "QUICK": int(int(values.get("PERIOD_MS", 0)) <= MAX_FADE_MS),
        "OFF_SHARE": 0 if is_lit_by_high else 100,
        "DUTY_SHARE": (duty if is_lit_by_high else 255 - duty) * 100 / 255,
        **{k.replace("LEVEL", "STATE"): "high" if v else "low" for k, v in values.items() if k.startswith("LEVEL")},
    }


def _sensor_words(values: Mapping[str, Value | Fraction]) -> dict[str, Value | Fraction]:
    measured = _MEASURED.get(str(values.get("QUANTITY")))
    if measured is None:
        return {"MEASURED": 0, "REACHED": 0, "HELD": 0}
    sensor, least, most, sample = measured
    words: dict[str, Value | Fraction] = {"MEASURED": 1, "SENSOR": sensor, "SAMPLE": sample}
    limit = int(values.get("LIMIT_MILLI", values.get("SETPOINT_MILLI", 0)))
    swing = int(values.get("HYSTERESIS_MILLI", 0))
    both_ways = "SETPOINT_MILLI" in values  # a thermostat switches at both ends of its swing
    side = 1 if values.get("ABOVE", 1 - int(values.get("HEATS", 0))) else -1

    def told(milli: int) -> int:
        return min(max(milli, least * 1000), most * 1000)

    beyond = told(limit + side * (swing * both_ways + _MARGIN_MILLI))
    within = told(limit - side * (swing + _MARGIN_MILLI))
    if both_ways:
        between = limit
    else:
        between = limit - side * swing // 2
    took_ms = 10 * int(values.get("EVERY_MS", 0)) + 4 * int(values.get("FOR_MS", 0))
    is_reached = (
        took_ms <= MAX_EXPECTED_MS
        and side * (beyond - limit) - swing * both_ways >= _LEAST_MARGIN_MILLI
        and side * (limit - within) - swing >= _LEAST_MARGIN_MILLI
    )
    words |= {"SIDE": side, "BEYOND": beyond, "WITHIN": within, "BETWEEN": between}
    return words | {"REACHED": int(is_reached), "HELD": int(is_reached and swing >= 2 * _LEAST_MARGIN_MILLI)}
