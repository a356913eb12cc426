"""Joins the pages of one `edges.read` to one record. Raises DeviceLied for an impossible record. Sends nothing.

Every reading of edges over the link uses it, whether it is shown, given to a model, or taken as proof.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from microclaw.devices.registry.answer_check import contradiction
from microclaw.devices.registry.calls import EdgeLog
from microclaw.events import Edge

# Above every entry. A float of a device's language still counts up to it exactly.
MAX_CURSOR: Final = 2**52
# The evidence of pins of which edges may be missing (docs/protocols/link-methods.md).
_PWM: Final = "pwm"
_INCOMPLETE: Final = ("at_least", _PWM)


class EdgesAnswer(Struct):
    """The value of one answer, in the format of docs/protocols/link-methods.md."""

    # Some devices' languages have no whole numbers.
    edges: list[tuple[float, float, float]]
    cursor: int
    now_ms: float
    dropped: int | None = None
    more: bool | None = None
    evidence: dict[str, str] | None = None
    counts: dict[str, int] | None = None


class EdgePages:
    """The answers to a reading from `cursor` on, in their order. If `wants_more`, ask again at `cursor`."""

    def __init__(self, name: str, cursor: int) -> None:
        self.cursor = cursor
        self._name = name
        self._page: EdgesAnswer | None = None
        self._edges: list[Edge] = []
        # Indices of _edges before which edges are missing.
        self._gaps: set[int] = set()
        self._dropped = 0

    @property
    def wants_more(self) -> bool:
        return self._page is None or bool(self._page.more)

    def add(self, page: EdgesAnswer) -> None:
        """Append a page. Raises DeviceLied for an impossible cursor: asking again at it would count edges twice."""
        dropped_count = page.dropped or 0
        self._check_page(page, dropped_count)
        if dropped_count:
            self._gaps.add(len(self._edges))
        self._page = page
        self.cursor = page.cursor
        self._edges += [Edge(t_ms, int(pin), int(level)) for t_ms, pin, level in page.edges]
        self._dropped += dropped_count

    def log(self) -> EdgeLog:
        """Return all edges. Raises DeviceLied if a pin's times run back, or its level "changes" to the same level."""
        assert self._page is not None
        by_pin: dict[int, list[tuple[int, Edge]]] = {}
        for index, edge in enumerate(self._edges):
            by_pin.setdefault(edge.pin, []).append((index, edge))
        for pin, rows in by_pin.items():
            self._check_pin(pin, rows)
        return EdgeLog(tuple(self._edges), self.cursor, self._dropped, self._page.now_ms, self._pwm_pins())

    def _pwm_pins(self) -> tuple[int, ...]:
        """Return the pins that the board says to be driven by PWM."""
        assert self._page is not None
        pins = []
        for key, kind in (self._page.evidence or {}).items():
            if kind == _PWM and key.isdecimal():
                pins.append(int(key))
        return tuple(pins)

    def _check_page(self, page: EdgesAnswer, dropped_count: int) -> None:
        if not 0 <= page.cursor <= MAX_CURSOR:
            self._refuse(f"the invalid cursor {page.cursor} (0 to {MAX_CURSOR})")
        if dropped_count < 0:
            self._refuse(f"that {dropped_count} edges were dropped")
        if (page.edges or page.more) and page.cursor <= self.cursor:
            content = "edges" if page.edges else "that there are more"
            self._refuse(f"{content} with the cursor {page.cursor}, which does not continue from {self.cursor}")

    def _check_pin(self, pin: int, rows: list[tuple[int, Edge]]) -> None:
        """Check the edges of one pin, each with its index in `_edges`."""
        first_complete = len(rows) - self._count_complete(pin, len(rows))
        for place in range(1, len(rows)):
            previous_index, previous = rows[place - 1]
            index, edge = rows[place]
            if any(previous_index < gap <= index for gap in self._gaps):
                continue
            if edge.t_ms < previous.t_ms:
                self._refuse(f"edges of pin {pin} at {previous.t_ms:g} ms and then at {edge.t_ms:g} ms")
            if place > first_complete and edge.level == previous.level:
                times = f"at {previous.t_ms:g} ms and {edge.t_ms:g} ms"
                self._refuse(
                    f"that pin {pin} changed to level {edge.level} twice, {times}, with nothing dropped between"
                )

    def _count_complete(self, pin: int, row_count: int) -> int:
        """Count the pin's last rows that have every change of its level, which are those since its last claim."""
        page = self._page
        key = str(pin)
        assert page is not None
        if page.evidence is not None and page.evidence.get(key) in _INCOMPLETE:
            return 0
        if page.counts is None:
            return row_count
        if page.more:
            return 0
        return max(0, min(row_count, page.counts.get(key, 0)))

    def _refuse(self, fault: str) -> None:
        raise contradiction(self._name, "edges.read", fault)
