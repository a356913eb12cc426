"""A bounded, numbered history of what happened on the board. Not thread-safe: the board's lock guards it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Records from the asked number on. Ask from `next` next time; `dropped` were overwritten before they were read."""

    records: tuple[R, ...]
    next: int
    dropped: int


class History(Generic[R]):
    """Numbers count from 0 and never restart. Full: the oldest go. `size_of` makes `capacity` a number of bytes."""

    def __init__(self, capacity: int, size_of: Callable[[R], int] = lambda _: 1) -> None:
        self._capacity = capacity
        self._size_of = size_of
        self._records: deque[R] = deque()
        self._first = 0
        self._size = 0

    def append(self, record: R) -> int:
        """Add a record; answers its number."""
        self._records.append(record)
        self._size += self._size_of(record)
        while self._size > self._capacity and len(self._records) > 1:
            self._size -= self._size_of(self._records.popleft())
            self._first += 1
        return self._first + len(self._records) - 1

    def since(self, number: int, limit: int | None = None) -> Page[R]:
        """At most `limit` records from `number` on; a number from the future gives an empty page."""
        end = self._first + len(self._records)
        start = min(max(number, self._first), end)
        stop = end if limit is None else min(end, start + max(limit, 0))
        records = tuple(islice(self._records, start - self._first, stop - self._first))
        return Page(records, stop, max(0, self._first - max(number, 0)))
