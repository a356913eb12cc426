"""What a wish consists of: acts, conditions, times and how often. scan.py reads them, timed.py joins them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from microclaw.agent.wishes.acts import Act
from microclaw.agent.wishes.events import Event

Role: TypeAlias = Literal["trigger", "while", "unless", "until"]
TimeKind: TypeAlias = Literal["days", "clock", "window", "delay", "unknown"]


class Condition(Struct, frozen=True):
    """What begins acts ("trigger"), or must hold ("while") or not hold ("unless") meanwhile, or ends them ("until").

    `nth`: only each time of that number begins them ("5th").
    """

    events: tuple[Event, ...]
    role: Role
    is_any: bool = False
    nth: str = ""


class Time(Struct, frozen=True):
    """Words for a time: which days, a time of day, from when to when, in how long; "until 8" is not known."""

    kind: TimeKind
    words: str


class Pace(Struct, frozen=True):
    """How often: every so often, or at most so often (`is_gap`); a light may blink with that `is_period`.

    `times` is how often in that time, if it is more than once.
    """

    ms: str
    is_gap: bool = False
    is_period: bool = False
    times: str = ""


Item: TypeAlias = Act | Condition | Time | Pace


def days_of(items: Sequence[Item]) -> str | None:
    """Return the words for the days; None if they are of two kinds, of which each may have its own times."""
    words = set[str]()
    for item in items:
        if isinstance(item, Time) and item.kind == "days":
            words.add(f" {item.words}")
    if len(words) > 1:
        return None
    return min(words, default="")


def times_by_act(items: Sequence[Item]) -> list[list[str]]:
    """Return the times of each act: those before the next act. Those before the first act are its own, too."""
    times: list[list[str]] = [[]]
    has_act = False
    for item in items:
        if isinstance(item, Act):
            if has_act:
                times.append([])
            has_act = True
        elif isinstance(item, Time) and item.kind != "days":
            times[-1].append(item.words)
    return times
