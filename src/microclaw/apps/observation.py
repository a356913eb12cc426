"""What was recorded of a program, as levels over time, and the finding for one check. Judges nothing itself."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Final, Literal, TypeAlias

from microclaw.apps.colors import Rgb
from microclaw.apps.expectations import Window
from microclaw.apps.line_pattern import LinePattern
from microclaw.devices.calls import LedChange, PwmChange
from microclaw.events import Edge

State: TypeAlias = Literal["met", "not met", "untried"]
JITTER_MS = 2.0
"""A board's tick: what two times may differ by, however short they are."""
_LEFT_OUT: Final = re.compile(r"\((\d{1,9}) lines? (?:were|was) left out\)(?: (.*))?", re.DOTALL)
"""What a board prints in the place of lines beyond its limit; older firmware puts the next line behind it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer for one check, and what was seen, in words."""

    state: State
    text: str
    next_step: str | None = None


@dataclass(frozen=True, slots=True)
class LogGap:
    """Lines that a program printed faster than its board tells them: how many, and between which two moments."""

    from_ms: float
    until_ms: float
    count: int


@dataclass(frozen=True)
class Observation:
    """What was recorded; times in ms since the installation. `levels`: at the end, `before`: at the start.

    `edges` hold those from outside as well. `bursts`: for each pin moved from outside, the first and the last moment of
    each change to a level (a bounce is one change). `opened`: when the program opened each of its pins first; None: not
    recorded, each counts as opened at the start.
    """

    end_ms: float
    edges: tuple[Edge, ...] = ()
    pwm: tuple[PwmChange, ...] = ()
    lines: tuple[tuple[float, str], ...] = ()
    leds: tuple[LedChange, ...] = ()
    levels: Mapping[int, int] = field(default_factory=dict)
    before: Mapping[int, int] = field(default_factory=dict)
    bursts: Mapping[int, tuple[tuple[float, float, int], ...]] = field(default_factory=dict)
    gaps: tuple[LogGap, ...] = ()
    opened: Mapping[int, float] | None = None

    def opened_ms(self, pin: int) -> float | None:
        """When the program opened the pin first; None: never. Nothing is known of its level before."""
        return 0.0 if self.opened is None else self.opened.get(pin)

    def left_out(self, window: Window) -> int:
        """How many lines may be missing in a window."""
        until = self.until(window)
        return sum(gap.count for gap in self.gaps if gap.from_ms <= until and gap.until_ms >= window.from_ms)

    def own_states(self, pins: tuple[int, ...]) -> list[PinStates]:
        """The levels of these pins from each change of one of them to the next, in the order of the record.

        Changes of one moment are kept apart; one from outside comes at no known place among those.
        """
        levels = [self.track(pin).before for pin in pins]
        found = [PinStates(0.0, tuple(levels), False)]
        for edge in sorted(self.edges, key=lambda edge: edge.t_ms):
            if edge.pin in pins:
                levels[pins.index(edge.pin)] = edge.level
                found.append(PinStates(edge.t_ms, tuple(levels), edge.pin not in self.bursts))
        return found

    @cached_property
    def _tracks(self) -> dict[int, Track]:
        by_pin: dict[int, list[Edge]] = {}
        for edge in sorted(self.edges, key=lambda edge: edge.t_ms):
            by_pin.setdefault(edge.pin, []).append(edge)
        return {
            pin: Track(self.before.get(pin, 1 - edges[0].level), tuple((e.t_ms, e.level) for e in edges))
            for pin, edges in by_pin.items()
        }

    def track(self, pin: int) -> Track:
        return self._tracks.get(pin) or Track(self.before.get(pin, self.levels.get(pin, 0)), ())

    def duties(self, pin: int) -> list[tuple[float, float]]:
        """(time, duty in percent) of one pin, in order."""
        return [(change.t_ms, change.duty / 2.55) for change in self.pwm if change.pin == pin]

    def pulses(self, pin: int) -> list[tuple[float, float, int]]:
        """(time, us high in each period, Hz) of one pin, in order."""
        return [
            (c.t_ms, c.duty / 255 * 1e6 / c.frequency_hz if c.pulse_us is None else c.pulse_us, c.frequency_hz)
            for c in self.pwm
            if c.pin == pin
        ]

    def colors_at(self, pin: int, t_ms: float) -> tuple[Rgb, ...]:
        """What the addressable LEDs on a pin show; empty before they were sent anything."""
        return next((c.colors for c in reversed(self.leds) if c.pin == pin and c.t_ms <= t_ms), ())

    def matching(self, pattern: LinePattern, window: Window) -> list[float]:
        until = self.until(window)
        return [t for t, text in self.lines if window.from_ms <= t <= until and pattern.matches(text)]

    def until(self, window: Window) -> float:
        return self.end_ms if window.until_ms is None else min(window.until_ms, self.end_ms)

    @property
    def moved(self) -> bool:
        return bool(self.pwm or self.leds or self.lines or any(edge.pin not in self.bursts for edge in self.edges))


@dataclass(frozen=True, slots=True)
class PinStates:
    """The levels of some pins since a moment. `is_own`: by a change that the program made."""

    t_ms: float
    levels: tuple[int, ...]
    is_own: bool


@dataclass(frozen=True, slots=True)
class Track:
    """One pin's level over time: the level before, then changes as (time, new level)."""

    before: int
    changes: tuple[tuple[float, int], ...]

    def level_at(self, t_ms: float) -> int:
        index = bisect_right(self.changes, t_ms, key=lambda change: change[0])
        return self.changes[index - 1][1] if index else self.before

    def to_level(self, level: int, from_ms: float, until_ms: float) -> list[float]:
        """When it went to `level`, from (included) until (included)."""
        return [t for t, new in self.changes if new == level and from_ms <= t <= until_ms]

    def spans(self, level: int, end_ms: float) -> list[tuple[float, float]]:
        """From when until when it had `level`, the last one until the end."""
        points = [(0.0, self.before), *self.changes, (end_ms, -1)]
        return [(t, after) for (t, now), (after, _) in pairwise(points) if now == level and after > t]


def lines_left_out(text: str) -> tuple[int, str | None]:
    """How many lines are missing where a board printed this, and the line that stands behind that; (0, text): none."""
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
