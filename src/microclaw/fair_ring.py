"""A bounded, numbered history that several sources share. Not thread-safe, no IO.

Full, it is the oldest record of the source with the most that gives way: a program that floods the log pushes its own
lines out and no other's.
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
    """Records from `start` on, each with its number. The next page begins at `next`."""

    records: tuple[R, ...]
    numbers: tuple[int, ...]
    start: int
    next: int

    @property
    def dropped(self) -> int:
        """The number between `start` and `next` that gave way before they were read."""
        return self.next - self.start - len(self.records)

    def first(self, count: int) -> FairPage[R]:
        """The page with its first `count` records."""
        if count >= len(self.records):
            return self
        return replace(self, records=self.records[:count], numbers=self.numbers[:count], next=self.numbers[count])


class FairRing(Generic[R]):
    """Numbers count from 0 and never restart. `size_of` makes `capacity` a number of bytes."""

    def __init__(
        self, capacity: int, source_of: Callable[[R], Hashable], size_of: Callable[[R], int] = lambda _: 1
    ) -> None:
        self._capacity = capacity
        self._source_of = source_of
        self._size_of = size_of
        self._records: dict[Hashable, deque[tuple[int, R]]] = {}  # of each source, by number
        self._sizes: dict[Hashable, int] = {}
        self._size = 0
        self.added = 0
        """How many there were ever: the number of the next one."""

    def append(self, record: R) -> int:
        """Add a record; returns its number. The newest stays, however large."""
        source = self._source_of(record)
        size = self._size_of(record)
        number = self.added
        self.added += 1
        self._records.setdefault(source, deque()).append((number, record))
        self._sizes[source] = self._sizes.get(source, 0) + size
        self._size += size
        while self._size > self._capacity and (len(self._records) > 1 or len(self._records[source]) > 1):
            self._give_way(source)
        return number

    def since(self, number: int, limit: int | None = None) -> FairPage[R]:
        """At most `limit` records from `number` on, in their order; a number from the future gives an empty page."""
        start = min(max(number, 0), self.added)
        found: list[tuple[int, R]] = []
        for records in self._records.values():
            if limit is None:
                found += takewhile(lambda one: one[0] >= start, reversed(records))
            else:  # no source has more of the page than the page itself, and one more tells where the next begins
                first = bisect_left(records, start, key=lambda one: one[0])
                found += islice(records, first, first + max(limit, 0) + 1)
        found.sort(key=lambda one: one[0])
        page = FairPage(tuple(one[1] for one in found), tuple(one[0] for one in found), start, self.added)
        if limit is None:
            return page
        return page.first(max(limit, 0))

    def _give_way(self, newest: Hashable) -> None:
        """Remove the oldest record of the source with the most, never the newest record itself."""
        others = (one for one in self._records if one != newest or len(self._records[one]) > 1)
        source = max(others, key=lambda one: (self._sizes[one], -self._records[one][0][0]))
        _, gone = self._records[source].popleft()
        size = self._size_of(gone)
        self._size -= size
        self._sizes[source] -= size
        if not self._records[source]:
            del self._records[source], self._sizes[source]


def drop_of_largest(waiting: deque[R], source_of: Callable[[R], Hashable]) -> None:
    """Remove the oldest record of the source with the most, from a short queue."""
    most, _ = Counter(map(source_of, waiting)).most_common(1)[0]
    del waiting[next(index for index, one in enumerate(waiting) if source_of(one) == most)]
