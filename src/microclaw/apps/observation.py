"""The records of a program, as values over time, and the finding for one check. Judges nothing itself."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.apps.expectations import (
    WHOLE,
    Edges,
    Events,
    LedColor,
    Level,
    Lines,
    Pwm,
    PwmDuty,
    ServoPulse,
    State,
    Window,
)
from microclaw.devices.calls import LedChange, PwmChange
from microclaw.events import Edge

Verdict: TypeAlias = Literal["met", "not met", "untried"]
JITTER_MS = 2.0
"""A board's tick: what two times may differ by, however short they are."""
FADE_POINTS = 2.5
"""Of a duty that fades: ten steps of 8 bits, where a loop ends at 250 of 255."""
_LEFT_OUT: Final = re.compile(r"\((\d{1,9}) lines? (?:were|was) left out\)(?: (.*))?", re.DOTALL)
"""What a board prints in the place of lines beyond its limit; older firmware puts the next line behind it."""


class Finding(Struct, frozen=True):
    """The answer for one check, and what was seen, in words."""

    state: Verdict
    text: str
    next_step: str | None = None


class LogGap(Struct, frozen=True):
    """Lines that a program printed faster than its board tells them: how many, and between which two moments."""

    from_ms: float
    until_ms: float
    count: int


class Observation(Struct, frozen=True, dict=True):
    """The records of a run; times in ms since the installation. `levels`: at the end.

    `edges` hold those from outside as well. `bursts`: for each pin moved from outside, the first and the last moment of
    each change to a level (a bounce is one change). `opened`: when the program opened each of its pins first; None: not
    recorded, each counts as opened at the start.
    """

    end_ms: float
    edges: tuple[Edge, ...] = ()
    pwm: tuple[PwmChange, ...] = ()
    lines: tuple[tuple[float, str], ...] = ()
    leds: tuple[LedChange, ...] = ()
    levels: Mapping[int, int] = {}
    bursts: Mapping[int, tuple[tuple[float, float, int], ...]] = {}
    gaps: tuple[LogGap, ...] = ()
    opened: Mapping[int, float] | None = None

    @property
    def moved(self) -> bool:
        return bool(self.pwm or self.leds or self.lines or any(edge.pin not in self.bursts for edge in self.edges))

    def opened_ms(self, pin: int) -> float | None:
        """The time when the program opened the pin first; None: never. Nothing is known of its level before."""
        return 0.0 if self.opened is None else self.opened.get(pin)

    def until(self, window: Window) -> float:
        return self.end_ms if window.until_ms is None else min(window.until_ms, self.end_ms)

    def left_out(self, window: Window) -> int:
        """The number of lines that may be missing in a window."""
        until = self.until(window)
        return sum(gap.count for gap in self.gaps if gap.from_ms <= until and gap.until_ms >= window.from_ms)

    @cached_property
    def ordered_edges(self) -> list[Edge]:
        return sorted(self.edges, key=lambda edge: edge.t_ms)

    @cached_property
    def _levels(self) -> dict[int, list[tuple[float, int]]]:
        found: dict[int, list[tuple[float, int]]] = {}
        for edge in self.ordered_edges:
            found.setdefault(edge.pin, [(0.0, 1 - edge.level)]).append((edge.t_ms, edge.level))
        return found

    def track(self, pin: int) -> list[tuple[float, int]]:
        """A pin's level at the start, then each change, as (time, level)."""
        return self._levels.get(pin) or [(0.0, self.levels.get(pin, 0))]

    def duties(self, pin: int) -> list[tuple[float, float]]:
        """(time, duty in percent) of one pin, in order."""
        return [(change.t_ms, change.duty / 2.55) for change in self.pwm if change.pin == pin]

    def values(self, state: State) -> list[tuple[float, Any]]:
        """The values of what the state is about, each with the time since when; the first one at the start."""
        match state:
            case Level(pin=pin):
                return self.track(pin)
            case PwmDuty(pin=pin):
                return [(0.0, 0.0), *self.duties(pin)]
            case LedColor(pin=pin):
                return [(0.0, ()), *((change.t_ms, change.colors) for change in self.leds if change.pin == pin)]
            case ServoPulse(pin=pin):
                changes = [(change, change.pulse_us, change.frequency_hz) for change in self.pwm if change.pin == pin]
                pulses = [(c.t_ms, (c.duty / 255 * 1e6 / hz if us is None else us, hz)) for c, us, hz in changes]
                return [(0.0, (0.0, 50)), *pulses]

    def value_at(self, state: State, t_ms: float) -> Any:
        values = self.values(state)
        return values[max(bisect_right(values, t_ms, key=lambda value: value[0]) - 1, 0)][1]

    def holds(self, state: State, t_ms: float) -> bool:
        return state.matches(self.value_at(state, t_ms))

    def spans(self, state: State, end_ms: float) -> list[tuple[float, float]]:
        """From when until when the state held, the last time until the end; the same value again does not end it."""
        points = [(t, state.matches(value)) for t, value in self.values(state)]
        points = [points[0], *(after for before, after in pairwise(points) if before[1] != after[1])]
        ends = [*(t for t, _ in points[1:]), end_ms]
        return [(start, end) for (start, holds), end in zip(points, ends, strict=True) if holds and end > start]

    def times(self, events: Events, window: Window = WHOLE) -> list[float]:
        """The moments of the events in a window, both its ends included."""
        from_ms, until_ms = window.from_ms, self.until(window)
        match events:
            case Edges(pin=pin, level=level):
                return [t for t, new in self.track(pin)[1:] if level in (None, new) and from_ms <= t <= until_ms]
            case Lines(pattern=pattern):
                return [t for t, text in self.lines if from_ms <= t <= until_ms and pattern.matches(text)]
            case Pwm(pin=pin):
                duties = [(t, duty) for t, duty in self.duties(pin) if from_ms <= t <= until_ms]
                least = min((duty for _, duty in duties), default=0.0) + FADE_POINTS
                return [t for (_, old), (t, new) in pairwise(duties) if new <= least < old]


def lines_left_out(text: str) -> tuple[int, str | None]:
    """The number of lines missing where a board printed this, and the line that stands behind that; (0, text): none."""
    found = _LEFT_OUT.fullmatch(text)
    return (0, text) if found is None else (int(found[1]), found[2])


def with_gaps(lines: Iterable[tuple[float, str]]) -> tuple[tuple[tuple[float, str], ...], tuple[LogGap, ...]]:
    """A program's printed lines, and where some of them are missing: since the line before."""
    kept: list[tuple[float, str]] = []
    gaps: list[LogGap] = []
    last_ms = 0.0
    for t_ms, text in lines:
        count, line = lines_left_out(text)
        if count:
            gaps.append(LogGap(last_ms, t_ms, count))
        if line is not None:
            kept.append((t_ms, line))
        last_ms = t_ms
    return tuple(kept), tuple(gaps)
