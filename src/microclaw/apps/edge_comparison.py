"""Compares a pin's edges with those that it had in the trial. Judges nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Final

from microclaw.apps.verdict import seconds
from microclaw.events import Edge
from microclaw.pin_track import TOLERANCE

SLACK_MS = 25.0
"""On a busy host the virtual board may be this late, whatever the time between edges."""


UNEVEN_EDGES: Final = 2
"""So many edges of a pin may come unevenly at its start: an interpreter loads its modules then."""
SETTLED_EDGES: Final = UNEVEN_EDGES + 5
"""Edges of a pin after which its rhythm tells more than its start: two periods behind it."""
INVERTED: Final = "each level is the other one: the program toggles the pin, which had the other level before"
_TURNED: Final = "half a turn on: it toggles the pin, which had the other level before"
_LONGEST_REPEAT: Final = 30
_LOOKED_AT: Final = 200
_TRIAL_JITTER_MS: Final = 2.0
SHORT_MS: Final = 1.0
_FEW: Final = 4
"""With fewer edges chance tells two rhythms apart that differ by less than the slack."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether the edges seen are the expected ones, and if not, the difference in words.

    `first` is the expected edge that the first one seen is. `is_sure` is False where too few came to tell whether they
    are the expected edges, or these with every level inverted.
    """

    agrees: bool
    difference: str | None = None
    first: int = 0
    is_sure: bool = True


def compare(expected: Sequence[Edge], seen: Sequence[Edge]) -> Agreement:
    """Compare the edges of one pin, as many as both have: the same levels, each at the same time after the first.

    The pin may have had the first level before: then that edge is not seen. Where the program toggles it instead, every
    level is inverted: that is the expected rhythm only where half a turn of it is the same with the levels inverted.
    """
    if not seen:
        return Agreement(False, "no edge where the trial had some")
    wanted = from_level(expected, 1 - seen[0].level)
    if not wanted:
        return Agreement(False, f"the first edge goes to {seen[0].level}, in the trial to {expected[0].level}")
    difference = _difference(wanted, seen)
    if len(wanted) == len(expected) or len(seen) < 2 or _difference(expected, seen) is not None:
        return Agreement(difference is None, difference, len(expected) - len(wanted))
    turn = _repeat(expected)
    if turn is not None and turn % 2:
        if difference is None:
            return Agreement(True, first=1, is_sure=len(seen) > turn + 1 or turn == 1)
        return Agreement(True, _TURNED, turn) if len(seen) > turn + 1 else Agreement(False, INVERTED)
    if difference is None:
        off_ms, inverted_off_ms = _mean_error(wanted, seen), _mean_error(expected, seen)
        is_sure = len(seen) >= _FEW and abs(off_ms - inverted_off_ms) > max(off_ms, inverted_off_ms) / 2
        if not is_sure or off_ms < inverted_off_ms:
            return Agreement(True, first=1, is_sure=is_sure)
    return Agreement(False, INVERTED)


def compare_settled(expected: Sequence[Edge], seen: Sequence[Edge]) -> Agreement:
    """As `compare`; where the start was uneven, the last edges count, two periods at least; `difference` says what was.

    Gaps below a millisecond are told, not judged: a board's own work is a part of them that the trial does not know.
    """
    whole = compare(expected, seen)
    count = min(len(expected), len(seen)) - 1
    if count >= UNEVEN_EDGES:
        want_ms, got_ms = span(expected[: count + 1]) / count, span(seen[: count + 1]) / count
        if want_ms < SHORT_MS and got_ms < SHORT_MS:
            return Agreement(True, f"{seconds(got_ms)} between edges on average, in the trial {seconds(want_ms)}")
    if whole.agrees or len(seen) < SETTLED_EDGES:
        return whole
    wanted = from_level(expected, 1 - seen[0].level)
    starts = (wanted,) if len(wanted) == len(expected) else (wanted, expected)
    for uneven in range(UNEVEN_EDGES, len(seen) - SETTLED_EDGES + UNEVEN_EDGES + 1):
        for start in starts:
            after = compare(start[uneven:], seen[uneven:])
            if after.agrees and after.is_sure:
                text = f"uneven at first: {whole.difference}; then as in the trial"
                return Agreement(True, text, len(expected) - len(start) + after.first)
    return whole


def edges_to_settle(expected: Sequence[Edge]) -> int:
    """How many edges of a pin tell its rhythm, whatever level it had before and however it began."""
    return max(SETTLED_EDGES, UNEVEN_EDGES + 2 + (_repeat(expected) or 0))


def from_level(expected: Sequence[Edge], level: int) -> Sequence[Edge]:
    """The edges of one pin that are seen where it has `level` before: without a first one to that level."""
    return expected[1:] if expected and expected[0].level == level else expected


def _difference(wanted: Sequence[Edge], seen: Sequence[Edge]) -> str | None:
    """The first gap that differs, as many as both have; levels are not looked at."""
    for (before, after), (was, now) in zip(pairwise(wanted), pairwise(seen), strict=False):
        want_ms, got_ms = after.t_ms - wanted[0].t_ms, now.t_ms - seen[0].t_ms
        if abs(got_ms - want_ms) > max(TOLERANCE * want_ms, SLACK_MS):
            gap, want_gap = now.t_ms - was.t_ms, after.t_ms - before.t_ms
            return f"{seconds(gap)} between edges, in the trial {seconds(want_gap)}"
    return None


def span(edges: Sequence[Edge]) -> float:
    return edges[-1].t_ms - edges[0].t_ms


def _mean_error(wanted: Sequence[Edge], seen: Sequence[Edge]) -> float:
    """Of the gaps that both have."""
    pairs = zip(pairwise(wanted), pairwise(seen), strict=False)
    return fmean(abs((b.t_ms - a.t_ms) - (now.t_ms - was.t_ms)) for (a, b), (was, now) in pairs)


def _repeat(expected: Sequence[Edge]) -> int | None:
    """After how many edges the gaps repeat. After an odd number the rhythm is itself with every level inverted."""
    gaps = [after.t_ms - before.t_ms for before, after in pairwise(expected[:_LOOKED_AT])]
    for count in range(1, min(_LONGEST_REPEAT, len(gaps) // 2) + 1):
        later = zip(gaps, gaps[count:], strict=False)
        if all(abs(one - other) <= max(_TRIAL_JITTER_MS, TOLERANCE * one) for one, other in later):
            return count
    return None
