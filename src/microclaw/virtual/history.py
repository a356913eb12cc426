"""Bounded, numbered histories of edges and PWM changes, and lines in the making. The board's lock guards them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from msgspec import Struct

from microclaw.wire.board_replies import EdgeRow, LogRow

MAX_LINE_BYTES: Final = 1_024
STALE_MS: Final = 1_000.0
"""A line without its end counts as finished after this much board time."""


class Observer(Protocol):
    """Something that is called for each new record."""

    def on_edge(self, record: EdgeRow) -> None: ...
    def on_log(self, record: LogRow) -> None: ...


class LineBuffer:
    """The unfinished line of each app, None being the firmware itself."""

    def __init__(self) -> None:
        self._partial: dict[str | None, tuple[float, bytes]] = {}

    def write(self, app: str | None, data: bytes, now_ms: float) -> list[str]:
        """The lines that this output finished; a longer one than MAX_LINE_BYTES is cut into several."""
        started_ms, before = self._partial.pop(app, (now_ms, b""))
        *lines, rest = (before + data).split(b"\n")
        finished = [line[i : i + MAX_LINE_BYTES] for line in lines for i in range(0, len(line) or 1, MAX_LINE_BYTES)]
        while len(rest) > MAX_LINE_BYTES:
            finished.append(rest[:MAX_LINE_BYTES])
            rest = rest[MAX_LINE_BYTES:]
        if rest:
            self._partial[app] = (now_ms if lines else started_ms, rest)
        return [line.decode("utf-8", "replace") for line in finished]

    def end(self, app: str | None) -> str:
        """The unfinished line, which ends now; empty when there is none."""
        return self._partial.pop(app, (0.0, b""))[1].decode("utf-8", "replace")

    def unfinished(self) -> list[str | None]:
        """Whose lines have no end."""
        return list(self._partial)

    def stale(self, now_ms: float) -> list[tuple[str | None, float]]:
        """Whose lines had no end for so long that they count as ended, with the time from which on they do."""
        stale = [(app, started_ms + STALE_MS) for app, (started_ms, _) in self._partial.items()]
        return [(app, since_ms) for app, since_ms in stale if since_ms <= now_ms]


R = TypeVar("R")


class Page(Struct, Generic[R], frozen=True):
    """Records from a number on. The next page begins at `next`; `dropped` ones were overwritten before being read.

    `boot_start` is the number of the first record since the board's last boot.
    """

    records: tuple[R, ...]
    next: int
    dropped: int
    boot_start: int = 0


class History(Generic[R]):
    """Numbers count from 0 and never restart. Full: the oldest go. `size_of` makes `capacity` a number of bytes."""

    def __init__(self, capacity: int, size_of: Callable[[R], int] = lambda _: 1) -> None:
        self._capacity = capacity
        self._size_of = size_of
        self._records: deque[R] = deque()
        self._first = 0
        self._size = 0
        self._boot_start = 0

    def append(self, record: R) -> None:
        self._records.append(record)
        self._size += self._size_of(record)
        while self._size > self._capacity and len(self._records) > 1:
            self._size -= self._size_of(self._records.popleft())
            self._first += 1

    def begin_boot(self) -> None:
        self._boot_start = self._first + len(self._records)

    def since(self, number: int, limit: int | None = None) -> Page[R]:
        """At most `limit` records from `number` on; a number from the future gives an empty page."""
        end = self._first + len(self._records)
        start = min(max(number, self._first), end)
        stop = end if limit is None else min(end, start + max(limit, 0))
        records = tuple(islice(self._records, start - self._first, stop - self._first))
        return Page(records, stop, max(0, self._first - max(number, 0)), self._boot_start)
