"""The edges that a board counted since an installation, beside those of the trial. It asks no board."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from msgspec import structs

from microclaw.devices.registry.calls import EdgeLog
from microclaw.events import Edge
from microclaw.programs.proof.edge_comparison import STEADY_GAPS, STEADY_MS, compare, compare_edges, span_ms
from microclaw.programs.proof.record import by_pin

PATIENCE_MS: Final = 3_000.0
"""What the trial had by then is waited for on the board, too."""
LATE_MS: Final = 6_000.0
"""How much later than in the trial the first edge, line or change of PWM may come, from when the board lists the
program: a small board reads it in for seconds. One that is busy is asked for its lines again after 5 s
(devices/transports/program_logs.py)."""
SETTLING_MS: Final = 10_000.0
"""How long after its first edge a pin may be uneven, beside twice the time of the steady edges that excuse it."""
LONGEST_MS: Final = 30_000.0
"""How long to watch at most for a pin to settle."""
_ROUNDING_MS: Final = 1.0
_OPENING_MS: Final = 1.0


class EdgeRecord:
    """What the board counted on the pins that the trial moved. Times are in ms since the installation began.

    `expected` and `seen` have the edges of each pin. `unsettled` are the pins of which further edges would tell more.
    """

    def __init__(self, expected: Sequence[Edge], began_ms: float) -> None:
        self.expected: dict[int, list[Edge]] = {}
        for pin, edges in by_pin(expected).items():
            if edges[0].t_ms <= PATIENCE_MS:
                self.expected[pin] = edges
        self.seen: dict[int, list[Edge]] = defaultdict(list)
        self.unsettled: Sequence[int] = tuple(self.expected)
        self.waited_ms = 0.0
        self._began_ms = began_ms
        self._counted: dict[int, list[Edge]] = defaultdict(list)
        # At the first look: a small board takes seconds for an installation.
        self._installed_ms: float | None = None

    def add(self, page: EdgeLog) -> None:
        """Take the next page of the board's record."""
        self.waited_ms = page.now_ms - self._began_ms
        if self._installed_ms is None:
            self._installed_ms = self.waited_ms
        for edge in page.edges:
            t_ms = edge.t_ms - self._began_ms
            if edge.pin in self.expected and t_ms >= -_ROUNDING_MS:
                self._counted[edge.pin].append(structs.replace(edge, t_ms=t_ms))
        unsettled = []
        for pin, expected in self.expected.items():
            seen = _without_opening(self._counted[pin], expected)
            self.seen[pin] = seen
            if not _is_shown(expected, seen):
                unsettled.append(pin)
        self.unsettled = unsettled

    def has_edges(self) -> bool:
        return any(self.seen.values())

    def is_proved(self) -> bool:
        """Return if further edges would tell nothing new, and each pin does what it did in the trial."""
        return not self.unsettled and compare_edges(self.expected, self.seen, self.waited_ms, before={}).agrees

    def end_ms(self) -> float:
        """Return when the watch is over, also if the program is not proved."""
        end_ms = 0.0
        for edges in self.expected.values():
            end_ms = max(end_ms, (self._installed_ms or 0.0) + edges[0].t_ms + LATE_MS)
        for pin in self.unsettled or self.expected:
            seen = self.seen[pin]
            if seen:
                settling_ms = SETTLING_MS + 2 * span_ms(self.expected[pin][: STEADY_GAPS + 1])
                end_ms = max(end_ms, seen[0].t_ms + min(settling_ms, LONGEST_MS))
        return end_ms

    def until_edge_ms(self) -> float:
        """Return how long it is until the trial's next edge on an unsettled pin; infinite if none is due."""
        next_ms = math.inf
        for pin in self.unsettled:
            expected = self.expected[pin]
            seen = self.seen[pin]
            count = len(seen)
            if count >= len(expected):
                continue
            # The program began about when the board answered the installation, or as its last edge shows.
            late_ms = self._installed_ms or 0.0
            if seen:
                late_ms = seen[-1].t_ms - expected[count - 1].t_ms
            next_ms = min(next_ms, expected[count].t_ms + late_ms)
        return next_ms - self.waited_ms


def _without_opening(seen: list[Edge], expected: Sequence[Edge]) -> list[Edge]:
    """Leave out the edge that opening a pin makes: its output holds the level that a former program left there."""
    is_quick = any(after.t_ms - edge.t_ms <= _OPENING_MS for edge, after in pairwise(expected))
    if len(seen) > 1 and seen[1].t_ms - seen[0].t_ms <= _OPENING_MS and not is_quick:
        return seen[1:]
    return seen


def _is_shown(expected: Sequence[Edge], seen: Sequence[Edge]) -> bool:
    """Return if further edges of a pin would tell nothing new."""
    due = [edge for edge in expected if edge.t_ms <= PATIENCE_MS + expected[0].t_ms]
    if not seen or (len(seen) < len(due) and span_ms(seen) < STEADY_MS):
        return False
    agreement = compare(expected, seen)
    return agreement.agrees and agreement.is_sure
