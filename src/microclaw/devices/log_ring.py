"""A device's last log lines in memory, read by cursor: what a transport without `logs.read` of its own answers from."""

from __future__ import annotations

from collections import deque
from itertools import islice

from microclaw.devices.calls import LogLine, LogPage

MAX_LINES = 1_000
MAX_TEXT = 1_000
MAX_PAGE = 200


class LogRing:
    """`add` what the device sends, answer LogsRead with `page`. The oldest lines give way."""

    def __init__(self, max_lines: int = MAX_LINES) -> None:
        self._lines: deque[LogLine] = deque(maxlen=max_lines)
        self._added = 0
        self._lost: deque[tuple[int, int]] = deque(
            maxlen=max_lines
        )  # cursor before which lines never arrived, how many
        self._last_n: int | None = None

    def add(self, line: LogLine, n: int | None = None) -> None:
        """`n` is the device's own count: a gap in it is lines that were lost on the way."""
        if n is not None and self._last_n is not None and n > self._last_n + 1:
            self._lost.append((self._added, n - self._last_n - 1))
        self._last_n = n
        self._lines.append(LogLine(line.t_ms, line.app, line.text[:MAX_TEXT]))
        self._added += 1

    def page(self, cursor: int) -> LogPage:
        """Lines from `cursor` on; a cursor of an earlier host run starts at the oldest."""
        first = self._added - len(self._lines)
        start = first if cursor > self._added else max(cursor, first)
        lines = tuple(islice(self._lines, start - first, start - first + MAX_PAGE))
        end = start + len(lines)
        overwritten = start - cursor if cursor <= self._added else 0
        on_the_way = sum(count for at, count in self._lost if start <= at < end)
        return LogPage(lines=lines, cursor=end, dropped=overwritten + on_the_way)
