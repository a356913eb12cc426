"""A device's last log lines, as this host has them, with what never arrived counted. Asks no device."""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec.structs import replace

from microclaw.devices.calls import LogLine, LogPage
from microclaw.fair_ring import FairRing

MAX_LINES: Final = 1_000
MAX_TEXT: Final = 1_000
MAX_PAGE: Final = 200


class LogRing:
    """A device's last log lines: `add` what it sends, answer LogsRead with `page`.

    Full, the oldest line of the program with the most lines gives way.
    """

    def __init__(self, max_lines: int = MAX_LINES) -> None:
        self._lines: FairRing[LogLine] = FairRing(max_lines, lambda line: line.app)
        self._lost: deque[tuple[int, int]] = deque(maxlen=max_lines)  # a cursor, how many never arrived before it
        self._last_n: int | None = None

    def add(self, line: LogLine, n: int | None = None) -> None:
        """`n` is the device's own count: a gap in it is lines that were lost on the way."""
        if n is not None and self._last_n is not None and n > self._last_n + 1:
            self._lost.append((self._lines.added, n - self._last_n - 1))
        self._last_n = n
        self._lines.append(replace(line, text=line.text[:MAX_TEXT]))

    def page(self, cursor: int) -> LogPage:
        """Lines from `cursor` on; a cursor of an earlier host run starts at the oldest."""
        known = cursor <= self._lines.added
        page = self._lines.since(cursor if known else 0, MAX_PAGE)
        on_the_way = sum(count for at, count in self._lost if page.start <= at < page.next)
        return LogPage(lines=page.records, cursor=page.next, dropped=(page.dropped if known else 0) + on_the_way)

    def end(self) -> LogPage:
        """A page without lines; its cursor is where the next read starts."""
        return LogPage(lines=(), cursor=self._lines.added, dropped=0)
