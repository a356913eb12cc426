"""Compares a pin's edges with those that it had in the trial. Judges nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from microclaw.apps.verdict import seconds
from microclaw.events import Edge
from microclaw.pin_track import TOLERANCE

SLACK_MS = 25.0
"""On a busy host the virtual board may be this late, whatever the time between edges."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether the edges seen are the expected ones, and if not, the difference in words."""

    agrees: bool
    difference: str | None = None


def compare(expected: Sequence[Edge], seen: Sequence[Edge]) -> Agreement:
    """Compare the edges of one pin, as many as both have: the same levels, each at the same time after the first.

    The pin may have had the first level before: then that edge is not seen.
    """
    if not seen:
        return Agreement(False, "no edge where the trial had some")
    wanted = from_level(expected, 1 - seen[0].level)
    if not wanted:
        return Agreement(False, f"the first edge goes to {seen[0].level}, in the trial to {expected[0].level}")
    for (before, after), (was, now) in zip(pairwise(wanted), pairwise(seen), strict=False):
        want_ms, got_ms = after.t_ms - wanted[0].t_ms, now.t_ms - seen[0].t_ms
        if abs(got_ms - want_ms) > max(TOLERANCE * want_ms, SLACK_MS):
            gap, want_gap = now.t_ms - was.t_ms, after.t_ms - before.t_ms
            return Agreement(False, f"{seconds(gap)} between edges, in the trial {seconds(want_gap)}")
    return Agreement(True)


UNEVEN_EDGES: Final = 2
"""So many edges of a pin may come unevenly at its start: an interpreter loads its modules then."""
SETTLED_EDGES: Final = UNEVEN_EDGES + 5
"""Edges of a pin after which its rhythm tells more than its start: two periods behind it."""


def compare_settled(expected: Sequence[Edge], seen: Sequence[Edge]) -> Agreement:
    """As `compare`; where the start was uneven, two periods after it count, and `difference` says what was uneven."""
    whole = compare(expected, seen)
    if whole.agrees or len(seen) < SETTLED_EDGES:
        return whole
    wanted = from_level(expected, 1 - seen[0].level)
    after = compare(wanted[UNEVEN_EDGES:], seen[UNEVEN_EDGES:])
    return Agreement(True, f"uneven at first: {whole.difference}; then as in the trial") if after.agrees else whole


def from_level(expected: Sequence[Edge], level: int) -> Sequence[Edge]:
    """The edges of one pin that are seen where it has `level` before: without a first one to that level."""
    return expected[1:] if expected and expected[0].level == level else expected
