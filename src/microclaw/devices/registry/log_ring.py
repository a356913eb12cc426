"""A device's last log lines, as this host has them, with a count of the lines that never arrived. Asks no device."""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec.structs import replace

from microclaw.devices.registry.calls import ConsoleLines, LogLine
from microclaw.wire.fair_ring import FairRing

MAX_LINES: Final = 1_000
MAX_TEXT: Final = 1_000
MAX_PAGE: Final = 200


class LogRing:
    """A device's last log lines: `add` takes what the device sends, `page` answers LogsRead.

    A full ring drops the oldest line of the program that has the most lines.
    """

    def __init__(self, max_lines: int = MAX_LINES) -> None:
        self._lines: FairRing[LogLine] = FairRing(max_lines, lambda line: line.app)
        # Each pair is a cursor and the number of lines that never arrived before it.
        self._lost: deque[tuple[int, int]] = deque(maxlen=max_lines)
        self._last_n: int | None = None

    def add(self, line: LogLine, n: int | None = None) -> None:
        """Keep a line; a gap in `n`, the device's own count, counts as lines that were lost on the way."""
        if n is not None and self._last_n is not None and n > self._last_n + 1:
            self._lost.append((self._lines.added, n - self._last_n - 1))
        self._last_n = n
        self._lines.append(replace(line, text=line.text[:MAX_TEXT]))

    def page(self, cursor: int) -> ConsoleLines:
        """Return the lines from `cursor` on; a cursor of an earlier host run starts at the oldest line."""
        # The ring counts from 0 at each start of the host, so a higher cursor can only be of an earlier run.
        is_of_this_run = cursor <= self._lines.added
        page = self._lines.since(cursor if is_of_this_run else 0, MAX_PAGE)
        dropped = sum(count for position, count in self._lost if page.start <= position < page.next)
        if is_of_this_run:
            dropped += page.dropped
        return ConsoleLines(lines=page.records, cursor=page.next, dropped=dropped)

    def end(self) -> ConsoleLines:
        """Return a page without lines; its cursor is where the next read starts."""
        return ConsoleLines(lines=(), cursor=self._lines.added, dropped=0)
