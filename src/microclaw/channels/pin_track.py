"""A pin's level over time as a line of text, drawn from edges that a board counted. It draws only what it was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

from microclaw.events import Edge

CELLS = 42
LOW, HIGH, CHANGE = "_", "~", "|"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What a row of edges has in common; times in s. `spread` is the largest deviation from the mean gap, relative."""

    edges: int
    gap_s: float
    period_s: float
    spread: float


def draw_track(edges: Sequence[Edge], *, start_ms: float, end_ms: float, level: int, cells: int = CELLS) -> str:
    """The level from `start_ms` to `end_ms` in `cells` characters, time-proportional; `level` is the one before."""
    if end_ms <= start_ms or cells <= 0:
        return ""
    width_ms = (end_ms - start_ms) / cells
    track: list[str] = []
    pending = [e for e in edges if start_ms <= e.t_ms < end_ms]
    now = level
    index = 0
    for cell in range(cells):
        until = start_ms + (cell + 1) * width_ms
        changed = False
        while index < len(pending) and pending[index].t_ms < until:
            now = pending[index].level
            changed = True
            index += 1
        track.append(CHANGE if changed else HIGH if now else LOW)
    return "".join(track)


def rhythm(edges: Sequence[Edge]) -> Rhythm | None:
    """Gap, period and spread of at least two edges; None for fewer."""
    gaps = [(after.t_ms - before.t_ms) / 1000 for before, after in pairwise(edges)]
    if not gaps:
        return None
    gap_s = mean(gaps)
    spread = max(abs(gap - gap_s) for gap in gaps) / gap_s if gap_s > 0 else 0.0
    return Rhythm(len(edges), gap_s, _period(gaps), spread)


def _period(gaps: Sequence[float]) -> float:
    """The mean time between edges of the same direction; of one gap alone, twice that gap."""
    pairs = [first + second for first, second in pairwise(gaps)]
    return mean(pairs) if pairs else 2 * gaps[0]
