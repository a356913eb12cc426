"""Pins with a level each ("pin 4 on and pin 5 off"), read only where every word is known."""

from __future__ import annotations

import re
from typing import Final

from microclaw.language.numbers import TaggedText
from microclaw.offline.parse import Values

Kind = tuple[str, Values]

_MAX_PINS: Final = 8
_LEVELS: Final = {"on": 1, "high": 1, "up": 1, "off": 0, "low": 0, "down": 0}
_SAYS_NOTHING: Final = frozenset(
    re.findall(
        r"\w+",
        "a turn switch set put drive pull make bring take the and then also to but please pls both pin pins gpio now i "
        "want you can could would like after that afterwards finally first next should must shall be go goes is are ok",
    )
)
_TOKEN: Final = re.compile(r"[a-z']+|\S")


def levels_of(said: TaggedText) -> Kind | None:
    """The pins of a sentence with several levels, each with its level; None for any other sentence."""
    at = 0
    items: list[int | str] = []  # pins, and words for levels
    for number in said.numbers:
        digits = said.text[number.start : number.end].removeprefix("pin ")
        if not digits.isdecimal():
            return None
        items += [*_TOKEN.findall(said.text[at : number.start]), int(digits)]
        at = number.end
    items += _TOKEN.findall(said.text[at:])
    parts = [item for item in items if isinstance(item, int) or (item not in _SAYS_NOTHING and item not in ",;.")]
    if said.stray or said.asks or any(isinstance(part, str) and part not in _LEVELS for part in parts):
        return None
    return _in_turn(parts) or _in_turn(parts[::-1], backwards=True)


def _in_turn(parts: list[int | str], *, backwards: bool = False) -> Kind | None:
    """Pins and levels, if each level follows its pins."""
    pairs: list[tuple[int, int]] = []
    waiting: list[int] = []
    for part in parts:
        if isinstance(part, int):
            waiting.append(part)
            continue
        if not waiting:
            return None
        pairs += [(pin, _LEVELS[part]) for pin in waiting]
        waiting = []
    levels = {level for _, level in pairs}
    pins = [pin for pin, _ in pairs]
    if waiting or len(levels) < 2 or len(set(pins)) < len(pins) or len(pins) > _MAX_PINS:
        return None
    values: Values = {}
    for n, (pin, level) in enumerate(reversed(pairs) if backwards else pairs, start=1):
        values |= {"pin" if n == 1 else f"pin_{n}": pin, "level" if n == 1 else f"level_{n}": level}
    return "set_pin", values
