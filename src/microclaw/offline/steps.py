"""Sentences of two steps with a wait ("turn on pin 2, wait 3 seconds, then turn on pin 4") as one parse each.

The steps themselves are read by the templates. It knows no more than two.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from microclaw.language.quantities import normalize_quantities
from microclaw.offline.parse import Parse, Values

_JOINT: Final = r"(?: and)?(?: then)?"
_WAITS: Final = re.compile(rf"(?:please )?wait (?:for )?(\d+) ms{_JOINT} (.+)")
_BOTH: Final = re.compile(
    rf"(?P<one>.+?){_JOINT} wait (?:for )?(?P<ms>\d+) ms{_JOINT} (?P<two>.+)"
    r"|(?P<a_one>.+?)(?: and then| and| then) (?:after|in) (?P<a_ms>\d+) ms (?:later )?(?P<a_two>.+)"
    r"|(?P<b_one>.+?)(?: and then| and| then) (?P<b_ms>\d+) ms later (?P<b_two>.+)"
    r"|(?P<c_one>.+?)(?: and then| and| then) (?P<c_two>.+?) (?:after|in) (?P<c_ms>\d+) ms"
)
_FOR: Final = re.compile(r"(?:for (?P<first>\d+) ms )?(?P<what>.+?)(?: for (?P<last>\d+) ms)?")
_ON_AT: Final = re.compile(
    r"(?:turn|switch) (?:on (?P<on>.+?)|(?P<what>.+?) on) (?:at|to|with) (?P<milli>\d+) milli percent"
    r"|(?P<bare>.+?) on at (?P<share>\d+) milli percent"
)
_IT: Final = re.compile(r"\b(?:it|that|this)\b")


def parse_steps(text: str, parse: Callable[[str], Parse | None]) -> Parse | None:
    """The parse of a sentence in two steps, or with a brightness for a time; None for every other sentence.

    `parse` reads one step. In the values `wait_ms` comes before the first step and `ms` before the second.
    """
    said = normalize_quantities(text)
    waits = _WAITS.fullmatch(said)
    if waits is not None:
        return _after_a_wait(int(waits[1]), waits[2], parse)
    both = _BOTH.fullmatch(said)
    if both is not None and _times(both[0]) == 1:
        one, ms, two = (part for part in both.groups() if part is not None)
        if both["c_ms"] is not None:
            ms, two = two, ms
        return _joined(_step(one, parse), int(ms), _step(two, parse), two)
    return _dimmed(said, parse)


def _times(said: str) -> int:
    return len(re.findall(r"\d ms\b", said))


def _step(said: str, parse: Callable[[str], Parse | None]) -> Parse | None:
    """A step that sets one pin to a level."""
    found = parse(said)
    if found is None or found.loose or found.kind != "set_pin" or found.number("pin_2") is not None:
        return None
    return found


def _target(parse: Parse) -> Values:
    return {name: parse.values[name] for name in ("pin", "thing") if name in parse.values}


def _after_a_wait(wait_ms: int, said: str, parse: Callable[[str], Parse | None]) -> Parse | None:
    found = parse(said)
    if found is not None and not found.loose and found.kind == "pulse":
        on: Values = {"wait_ms": wait_ms, "level": 1, "ms": found.number("ms") or 0, "level_2": 0}
        return Parse("steps", on | _target(found)) if found.number("ms") else None
    step = _step(said, parse)
    if step is None:
        return None
    return Parse("steps", {"wait_ms": wait_ms, "level": step.number("level") or 0, **_target(step)})


def _joined(one: Parse | None, ms: int, two: Parse | None, said: str) -> Parse | None:
    if one is None or two is None:
        return None
    values: Values = {"wait_ms": 0, "level": one.number("level") or 0, **_target(one)}
    values |= {"ms": ms, "level_2": two.number("level") or 0}
    if _IT.search(said) and two.number("pin") is None:
        return Parse("steps", values)
    if two.number("pin") is None:  # only an LED is without a number, and both steps would have to be on it
        return Parse("steps", values) if _target(one) == _target(two) else None
    return Parse("steps", values | {"pin_2": two.number("pin") or 0})


def _dimmed(said: str, parse: Callable[[str], Parse | None]) -> Parse | None:
    """ "Turn on pin 2 at 50 % for 3 seconds": a brightness for a time."""
    found = _FOR.fullmatch(said)
    if found is None or (found["first"] is None) == (found["last"] is None):
        return None
    on_at = _ON_AT.fullmatch(found["what"])
    if on_at is not None:
        target, milli = (part for part in on_at.groups() if part is not None)
        step = parse(f"dim {target} to {milli} milli percent")
    else:
        step = parse(found["what"])
    if step is None or step.loose or step.kind != "dim_pin" or step.number("milli") is None:
        return None
    return Parse("pwm_pulse", {**step.values, "ms": int(found["first"] or found["last"])})
