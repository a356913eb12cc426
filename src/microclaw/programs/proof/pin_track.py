"""A pin's level over time as a line of text, and its rhythm, from edges that a board counted. No IO."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean, median

from msgspec import Struct

from microclaw.events import Edge
from microclaw.text import time_text

CELLS = 42
LOW = "_"
HIGH = "~"
CHANGE = "|"
# How much a gap may differ from another to count as equal.
TOLERANCE = 0.10
# How much of the longest gap the others may lack to be given as one length.
_EVEN = 0.01
MAX_SPANS = 12


class Rhythm(Struct, frozen=True):
    """The rhythm of one pin's edges: their number, the time of the first, and the gaps between them."""

    pin: int
    count: int
    first_ms: float
    gaps_ms: tuple[float, ...]

    @property
    def gap_s(self) -> float:
        """The mean gap; 0 for a single edge."""
        if self.gaps_ms:
            return fmean(self.gaps_ms) / 1000
        return 0.0

    @property
    def period_s(self) -> float:
        """The mean time between edges of the same direction; for a single gap, twice that gap."""
        pairs = list(map(sum, pairwise(self.gaps_ms)))
        if pairs:
            return fmean(pairs) / 1000
        return 2 * self.gap_s

    @property
    def spread(self) -> float:
        """The largest deviation from the mean gap, relative."""
        gap_s = self.gap_s
        if gap_s > 0:
            return max(abs(gap_ms / 1000 - gap_s) for gap_ms in self.gaps_ms) / gap_s
        return 0.0

    @property
    def spacings_ms(self) -> tuple[tuple[float, ...], ...]:
        """All gaps together if they are alike, each second one apart if they alternate, otherwise none."""
        gaps = self.gaps_ms
        if not gaps:
            return ()
        if _alike(gaps):
            return (gaps,)
        if len(gaps) >= 3 and _alike(gaps[::2]) and _alike(gaps[1::2]):
            return (gaps[::2], gaps[1::2])
        return ()


def rhythms(edges: Iterable[Edge]) -> tuple[Rhythm, ...]:
    """Return one Rhythm for each pin, in the order of the pins' first edges."""
    by_pin: dict[int, list[float]] = {}
    for edge in edges:
        by_pin.setdefault(edge.pin, []).append(edge.t_ms)
    result = []
    for pin, times in by_pin.items():
        gaps = tuple(after - before for before, after in pairwise(times))
        result.append(Rhythm(pin, len(times), times[0], gaps))
    return tuple(result)


def draw_track(edges: Sequence[Edge], *, start_ms: float, end_ms: float, level: int, cells: int = CELLS) -> str:
    """Draw the level from `start_ms` to `end_ms` in `cells` characters of equal time; `level` is the level before."""
    if end_ms <= start_ms or cells <= 0:
        return ""
    width_ms = (end_ms - start_ms) / cells
    track: list[str] = []
    pending = [edge for edge in edges if start_ms <= edge.t_ms < end_ms]
    index = 0
    for cell in range(cells):
        cell_end_ms = start_ms + (cell + 1) * width_ms
        has_changed = False
        while index < len(pending) and pending[index].t_ms < cell_end_ms:
            level = pending[index].level
            has_changed = True
            index += 1
        if has_changed:
            track.append(CHANGE)
        else:
            track.append(HIGH if level else LOW)
    return "".join(track)


def spans_text(track: Sequence[tuple[float, int]], end_ms: float) -> str:
    """Return "low 1 s, high 0.5 s, low 0.5 s ×8": how long each level lasts, repeated pairs with their count.

    `track` has the level at the start, then each change, as (time, level).
    """
    ends = [*track[1:], (end_ms, 0)]
    spans = [(level, until_ms - from_ms) for (from_ms, level), (until_ms, _) in zip(track, ends, strict=True)]
    # A level that changed at the very start was never there.
    if len(spans) > 1 and spans[0][1] <= 0:
        spans = spans[1:]
    parts: list[str] = []
    place = 0
    while place < len(spans) and len(parts) < MAX_SPANS:
        pair = spans[place : place + 2]
        count = 1
        while _is_pair(spans[place + 2 * count : place + 2 * count + 2], pair):
            count += 1
        if count == 1:
            pair = pair[:1]
        text = ", ".join(_span_text(level, length_ms) for level, length_ms in pair)
        if count > 1:
            text += f" ×{count}"
        parts.append(text)
        place += count * len(pair)
    if place < len(spans):
        parts.append("...")
    return ", ".join(parts)


def _span_text(level: int, length_ms: float) -> str:
    name = "high" if level else "low"
    if length_ms > 0:
        return f"{name} {time_text(length_ms)}"
    return f"{name} for an instant"


def _is_pair(spans: Sequence[tuple[int, float]], first: Sequence[tuple[int, float]]) -> bool:
    """Return True for two spans of the same levels that are as long as the first two."""
    if len(spans) != 2:
        return False
    for span, before in zip(spans, first, strict=True):
        if span[0] != before[0] or not have_one_length((span[1], before[1])):
            return False
    return True


def have_one_length(gaps: Sequence[float]) -> bool:
    """Return True if one number is true of all these gaps."""
    longest = max(gaps)
    return longest - min(gaps) <= _EVEN * longest


def _alike(gaps: Sequence[float]) -> bool:
    middle = median(gaps)
    return all(abs(gap - middle) <= TOLERANCE * middle for gap in gaps)
