"""What rooms add to the host's status, metrics and problems. It shows nothing itself and knows no room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

Row: TypeAlias = tuple[str, str]
"""A line of the status: its subject and its text."""
Rows: TypeAlias = Callable[[], AsyncIterator[Row]]
ScreenPart: TypeAlias = Literal["services", "connections", "plans", "events"]
"""A part of the status, in this order; only owners see `connections` and `plans`."""


class StatusField(Struct, frozen=True):
    """A field of the status document. Of one that is `for_owners`, other people get null."""

    name: str
    form: Any
    read: Callable[[], object]
    for_owners: bool = False


class MetricFamily(Struct, frozen=True):
    """The series of one metric: the values of `labels`, and the number."""

    kind: Literal["gauge", "counter"]
    name: str
    about: str
    labels: tuple[str, ...]
    series: Iterable[tuple[tuple[str, ...], float]]


def label_series(counts: Mapping[str, float]) -> list[tuple[tuple[str, ...], float]]:
    """Return the series of a metric with one label."""
    return [((label,), count) for label, count in counts.items()]


class HostHooks(Struct):
    """What rooms show of themselves; each list is in the order of the rooms.

    `problems` yield parts that are configured but off, and why. A problem "NAME is off: ..." of a name in
    `names_with_row` is not shown again, because the room has a row for it. `start_facts` are fields of the document
    that `microclaw up` writes when the host is ready.
    """

    fields: list[StatusField] = field(default_factory=list)
    metrics: list[Callable[[], Iterable[MetricFamily]]] = field(default_factory=list)
    problems: list[Callable[[], Iterable[str]]] = field(default_factory=list)
    names_with_row: set[str] = field(default_factory=set)
    start_facts: list[Callable[[], Mapping[str, object]]] = field(default_factory=list)
    _rows: dict[ScreenPart, list[Rows]] = field(default_factory=dict)

    def on_screen(self, part: ScreenPart, rows: Rows) -> None:
        """Add lines to a part of the status."""
        self._rows.setdefault(part, []).append(rows)

    async def rows(self, part: ScreenPart) -> AsyncIterator[Row]:
        """Yield the lines of a part of the status."""
        for read_rows in self._rows.get(part, ()):
            async for row in read_rows():
                yield row

    def read_fields(self, *, for_owners: bool) -> dict[str, object]:
        """Return the values of the status fields that everyone gets, or of those that are for owners."""
        return {one.name: one.read() for one in self.fields if one.for_owners is for_owners}

    def read_problems(self) -> Iterator[str]:
        """Yield the problems of all rooms."""
        for read in self.problems:
            yield from read()

    def read_metrics(self) -> Iterator[MetricFamily]:
        """Yield the metrics of all rooms."""
        for read in self.metrics:
            yield from read()

    def read_start_facts(self) -> dict[str, object]:
        """Return the fields that rooms add to the document of `microclaw up`."""
        facts: dict[str, object] = {}
        for read in self.start_facts:
            facts.update(read())
        return facts
