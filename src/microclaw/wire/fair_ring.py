"""A bounded, numbered history that several sources share. Not thread-safe, no IO.

If it is full, a new record replaces the oldest record of the source that has the most: a program that floods the log
pushes out its own lines, and no others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Hashable
from itertools import islice, takewhile
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

R = TypeVar("R")


class FairPage(Struct, Generic[R], frozen=True):
    """A page of records from `start` on, each with its number. The next page begins at `next`."""

    records: tuple[R, ...]
    numbers: tuple[int, ...]
    start: int
    next: int

    @property
    def dropped(self) -> int:
        """How many records between `start` and `next` were pushed out before they were read."""
        return self.next - self.start - len(self.records)

    def first(self, count: int) -> FairPage[R]:
        """Return the page with only its first `count` records."""
        if count >= len(self.records):
            return self
        return replace(self, records=self.records[:count], numbers=self.numbers[:count], next=self.numbers[count])


class FairRing(Generic[R]):
    """A ring whose numbers count from 0 and never restart. With `size_of`, `capacity` is a number of bytes."""

    def __init__(
        self, capacity: int, source_of: Callable[[R], Hashable], size_of: Callable[[R], int] = lambda _: 1
    ) -> None:
        self._capacity = capacity
        self._source_of = source_of
        self._size_of = size_of
        # The numbered records of each source.
        self._records: dict[Hashable, deque[tuple[int, R]]] = {}
        self._sizes: dict[Hashable, int] = {}
        self._size = 0
        # How many records were ever added, which is the number of the next one.
        self.added = 0

    def append(self, record: R) -> int:
        """Add a record and return its number. The newest record stays, even if it is larger than the ring."""
        source = self._source_of(record)
        size = self._size_of(record)
        number = self.added
        self.added += 1
        self._records.setdefault(source, deque()).append((number, record))
        self._sizes[source] = self._sizes.get(source, 0) + size
        self._size += size
        while self._size > self._capacity and self._has_others(source):
            self._push_out(source)
        return number

    def _has_others(self, source: Hashable) -> bool:
        """Return True if there are records besides the newest one, which is the last of `source`."""
        return len(self._records) > 1 or len(self._records[source]) > 1

    def since(self, number: int, limit: int | None = None) -> FairPage[R]:
        """Return up to `limit` records from `number` on, in their order; none if `number` was not reached yet."""
        start = min(max(number, 0), self.added)
        rows: list[tuple[int, R]] = []
        for records in self._records.values():
            if limit is None:
                rows += takewhile(lambda row: row[0] >= start, reversed(records))
            else:
                # A source has at most the whole page; one row more shows where the next page begins.
                first = bisect_left(records, start, key=lambda row: row[0])
                rows += islice(records, first, first + max(limit, 0) + 1)
        rows.sort(key=lambda row: row[0])
        page = FairPage(tuple(row[1] for row in rows), tuple(row[0] for row in rows), start, self.added)
        if limit is None:
            return page
        return page.first(max(limit, 0))

    def _push_out(self, newest: Hashable) -> None:
        """Remove the oldest record of the source that has the most, but not the newest record of `newest`."""
        sources = [source for source in self._records if source != newest or len(self._records[source]) > 1]
        source = max(sources, key=lambda name: (self._sizes[name], -self._records[name][0][0]))
        _, record = self._records[source].popleft()
        size = self._size_of(record)
        self._size -= size
        self._sizes[source] -= size
        if not self._records[source]:
            del self._records[source], self._sizes[source]


def drop_of_largest(waiting: deque[R], source_of: Callable[[R], Hashable]) -> None:
    """Remove the oldest record of the source that has the most records, from a short queue."""
    largest, _ = Counter(map(source_of, waiting)).most_common(1)[0]
    for index, record in enumerate(waiting):
        if source_of(record) == largest:
            del waiting[index]
            return
