"""What a row of edges looks like over time, in numbers and in words, and whether two of them agree. No IO."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from microclaw.bus.events import Edge
from microclaw.devices.calls import PwmChange

TOLERANCE = 0.10
SLACK_MS = 25.0
"""A board that runs as a process on a busy host may be this late whatever the spacing."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The edges of one pin: `spacing_ms` holds one gap when all are alike, two when they alternate, else none."""

    pin: int
    count: int
    first_ms: float
    spacing_ms: tuple[float, ...]


def rhythms(edges: Iterable[Edge]) -> tuple[Rhythm, ...]:
    """One Rhythm for each pin, in the order in which the pins first moved."""
    by_pin: dict[int, list[float]] = {}
    for edge in edges:
        by_pin.setdefault(edge.pin, []).append(edge.t_ms)
    return tuple(Rhythm(pin, len(times), times[0], _spacing(times)) for pin, times in by_pin.items())


def describe(edges: Sequence[Edge], pwm: Sequence[PwmChange] = ()) -> str:
    """ "20 edges on pin 2, 0.500 s apart"; empty when nothing moved."""
    parts = [_describe_rhythm(r) for r in rhythms(edges)]
    duties: dict[int, list[int]] = {}
    for change in pwm:
        duties.setdefault(change.pin, []).append(change.duty)
    for pin, seen in duties.items():
        span = f"duty {seen[0]}" if len(set(seen)) == 1 else f"duty {min(seen)} to {max(seen)} of 255"
        parts.append(f"{_count(len(seen), 'PWM change')} on pin {pin}, {span}")
    return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether the edges seen follow the expected ones, and if not, in which words."""

    agrees: bool
    difference: str | None = None


def compare(expected: Sequence[Edge], seen: Sequence[Edge]) -> Agreement:
    """Compare the edges of one pin as far as both go: the same turns of level, the same time from first to last.

    The pin may have been high already, so expected edges before the first one that matches the level are skipped.
    """
    if not seen:
        return Agreement(False, "no edge where the trial had some")
    start = next((i for i, edge in enumerate(expected) if edge.level == seen[0].level), None)
    if start is None:
        return Agreement(False, f"the first edge goes to {seen[0].level}, in the trial to {expected[0].level}")
    both = min(len(expected) - start, len(seen))
    if both < 2:
        return Agreement(True)
    want_ms = expected[start + both - 1].t_ms - expected[start].t_ms
    got_ms = seen[both - 1].t_ms - seen[0].t_ms
    if abs(got_ms - want_ms) > max(TOLERANCE * want_ms, SLACK_MS):
        gaps = both - 1
        return Agreement(False, f"{seconds(got_ms / gaps)} between edges, in the trial {seconds(want_ms / gaps)}")
    return Agreement(True)


def seconds(ms: float) -> str:
    """ "0.500 s" below ten seconds, "12.0 s" below two minutes, then "10 min", "1.5 h"."""
    if ms < 10_000:
        return f"{ms / 1000:.3f} s"
    if ms < 120_000:
        return f"{ms / 1000:.1f} s"
    if ms < 7_200_000:
        return f"{ms / 60_000:.3g} min"
    return f"{ms / 3_600_000:.3g} h"


def round_seconds(ms: float) -> str:
    """ "10 s", "0.02 s": as few digits as say it, two decimals at most."""
    if ms >= 120_000:
        return seconds(ms)
    return f"{ms / 1000:.2f}".rstrip("0").rstrip(".") + " s"


def _spacing(times: Sequence[float]) -> tuple[float, ...]:
    gaps = [b - a for a, b in itertools.pairwise(times)]
    if not gaps:
        return ()
    if _alike(gaps):
        return (statistics.fmean(gaps),)
    if len(gaps) >= 3 and _alike(gaps[::2]) and _alike(gaps[1::2]):
        return (statistics.fmean(gaps[::2]), statistics.fmean(gaps[1::2]))
    return ()


def _alike(gaps: Sequence[float]) -> bool:
    middle = statistics.median(gaps)
    return all(abs(gap - middle) <= TOLERANCE * middle for gap in gaps)


def _describe_rhythm(rhythm: Rhythm) -> str:
    text = f"{_count(rhythm.count, 'edge')} on pin {rhythm.pin}"
    if not rhythm.spacing_ms:
        return f"{text}, {'at' if rhythm.count == 1 else 'the first at'} {seconds(rhythm.first_ms)}"
    return f"{text}, {' and '.join(seconds(gap) for gap in rhythm.spacing_ms)} apart"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
