"""The pages of one `edges.read` as one record of edges; DeviceLied for a record that cannot be. It asks nothing itself.

Every reading of edges over the link comes through here, whether it is shown, told to a model, or taken as proof.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from microclaw.devices.answer_check import lied
from microclaw.devices.calls import EdgeLog
from microclaw.events import Edge

MAX_CURSOR: Final = 2**52  # above every entry; what a float of a device's language still counts exactly
_NOT_ALL: Final = ("at_least", "pwm")  # link-methods.md: edges of these pins may be missing


class EdgesAnswer(Struct):
    """The value of one answer, as docs/protocols/link-methods.md has it."""

    edges: list[tuple[float, float, float]]  # some devices' languages have no whole numbers
    cursor: int
    now_ms: float
    dropped: int | None = None
    more: bool | None = None
    evidence: dict[str, str] | None = None
    counts: dict[str, int] | None = None


class EdgePages:
    """The answers to a reading from `cursor` on, in their order; `wants_more` says whether to ask again at `cursor`."""

    def __init__(self, name: str, cursor: int) -> None:
        self.cursor = cursor
        self._name = name
        self._page: EdgesAnswer | None = None
        self._edges: list[Edge] = []
        self._gaps: set[int] = set()  # indices of _edges before which some are missing
        self._dropped = 0

    @property
    def wants_more(self) -> bool:
        return self._page is None or bool(self._page.more)

    def add(self, page: EdgesAnswer) -> None:
        """DeviceLied for a cursor that cannot be: asking on from it would count the same edges again."""
        if not 0 <= page.cursor <= MAX_CURSOR:
            self._refuse(f"the cursor {page.cursor}, which is none (0 to {MAX_CURSOR})")
        dropped = page.dropped or 0
        if dropped < 0:
            self._refuse(f"that {dropped} edges were dropped")
        if (page.edges or page.more) and page.cursor <= self.cursor:
            what = "edges" if page.edges else "that there are more"
            self._refuse(f"{what} with the cursor {page.cursor}, which does not go on from {self.cursor}")
        if dropped:
            self._gaps.add(len(self._edges))
        self._page = page
        self.cursor = page.cursor
        self._edges += [Edge(t_ms, int(pin), int(level)) for t_ms, pin, level in page.edges]
        self._dropped += dropped

    def log(self) -> EdgeLog:
        """All of it; DeviceLied where a pin's times run back, or its level changes to the one that it had."""
        assert self._page is not None
        by_pin: dict[int, list[tuple[int, Edge]]] = {}
        for index, edge in enumerate(self._edges):
            by_pin.setdefault(edge.pin, []).append((index, edge))
        for pin, rows in by_pin.items():
            first = len(rows) - self._proved(pin, len(rows))
            for place in range(1, len(rows)):
                (index, before), (next_index, edge) = rows[place - 1], rows[place]
                if any(index < gap <= next_index for gap in self._gaps):
                    continue
                if edge.t_ms < before.t_ms:
                    self._refuse(f"edges of pin {pin} at {before.t_ms:g} ms and then at {edge.t_ms:g} ms")
                if place > first and edge.level == before.level:
                    self._refuse(f"that pin {pin} changed to level {edge.level} twice, at {before.t_ms:g} ms "
                                 f"and {edge.t_ms:g} ms, with nothing dropped between")  # fmt: skip
        return EdgeLog(tuple(self._edges), self.cursor, self._dropped, self._page.now_ms)

    def _proved(self, pin: int, rows: int) -> int:
        """The number of the pin's last rows that are every change of its level: those since it was claimed last."""
        page = self._page
        key = str(pin)
        assert page is not None
        if page.evidence is not None and page.evidence.get(key) in _NOT_ALL:
            return 0
        if page.counts is None:
            return rows
        if page.more:
            return 0
        return max(0, min(rows, page.counts.get(key, 0)))

    def _refuse(self, fault: str) -> None:
        raise lied(self._name, "edges.read", fault)
