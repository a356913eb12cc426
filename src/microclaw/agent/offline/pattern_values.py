"""The values that a sentence gives to a pattern, and the pace that it asks for. It chooses no pattern.

A rate has its exact period (300 Hz is not 3 ms).
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final, TypeAlias

from microclaw.agent.offline.decision import Parse, Values
from microclaw.agent.offline.sentences import english
from microclaw.programs.patterns.expected import Value

PatternValues: TypeAlias = dict[str, Value | Fraction]
Filled: TypeAlias = tuple[str, PatternValues, str]
"""A pattern, its values, and words that ask for exactly it.

A fraction is the exact value of the sentence: the program gets the nearest whole number, and the trial is compared with
the fraction.
"""
NS: Final = 1_000_000
_PULSE_MS: Final = (200, 200, 200)
_BLINKS: Final = ("blink", "blink_times", "led_blink")
_PACE: Final = re.compile(r"(?:period_)?ms(?:_ns)?|speed")
_SPEEDS: Final = ("", "slow", "fast")


def without_pace(values: Values) -> Values:
    """Return the values of a parse without its pace."""
    return {name: value for name, value in values.items() if not _PACE.fullmatch(name)}


def pace_ms(parse: Parse) -> Fraction:
    """Return the time in the sentence, also 0 (refused later); else the time of "slowly", "fast" or no such word.

    Of a blink it is half a period: "every half second" toggles each half second, "2 Hz" are whole periods.
    """
    time_ms = _exact_ms(parse, "ms")
    if time_ms is not None:
        return time_ms
    period_ms = _exact_ms(parse, "period_ms")
    if period_ms is not None and parse.kind in _BLINKS:
        return period_ms / 2
    if period_ms is not None:
        return period_ms
    paces_ms = english().paces.get(parse.kind, _PULSE_MS)
    speed = parse.word("speed") or ""
    return Fraction(paces_ms[_SPEEDS.index(speed)])


def may_last(parse: Parse) -> bool:
    """Return True if "in 5 seconds" in such a sentence can be the act's pace or duration."""
    if parse.kind == "pulse":
        return True
    return parse.kind in english().paces and parse.kind != "read_sensor_every"


def _exact_ms(parse: Parse, slot: str) -> Fraction | None:
    """Return the time in a slot, or None. The sentence has it in nanoseconds if it is not a whole millisecond."""
    exact_ns = parse.number(f"{slot}_ns")
    if exact_ns is not None:
        return Fraction(exact_ns, NS)
    whole_ms = parse.number(slot)
    if whole_ms is not None:
        return Fraction(whole_ms)
    return None
