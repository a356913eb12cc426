"""The printed lines of programs without an end yet. The board's lock guards it."""

from __future__ import annotations

from typing import Final

MAX_LINE_BYTES: Final = 1_024
STALE_MS: Final = 1_000.0
"""A line without its end counts as finished after this much board time."""


class LineBuffer:
    """The unfinished line of each app, None being the firmware itself."""

    def __init__(self) -> None:
        self._partial: dict[str | None, tuple[float, bytes]] = {}

    def write(self, app: str | None, data: bytes, now_ms: float) -> list[str]:
        """Return the lines that this output finished; a longer one than MAX_LINE_BYTES is cut into several."""
        started_ms, before = self._partial.pop(app, (now_ms, b""))
        *lines, rest = (before + data).split(b"\n")
        finished = []
        for line in lines:
            finished += _cut(line)
        if rest:
            *pieces, rest = _cut(rest)
            finished += pieces
            if lines:
                started_ms = now_ms
            self._partial[app] = (started_ms, rest)
        return [line.decode("utf-8", "replace") for line in finished]

    def end(self, app: str | None) -> str:
        """End the unfinished line and return it; empty if there is none."""
        return self._partial.pop(app, (0.0, b""))[1].decode("utf-8", "replace")

    def unfinished(self) -> list[str | None]:
        """Return the programs whose lines have no end."""
        return list(self._partial)

    def stale(self, now_ms: float) -> list[tuple[str | None, float]]:
        """Return the programs whose lines count as ended, as they had no end for long, with the time since when."""
        stale = []
        for app, (started_ms, _) in self._partial.items():
            since_ms = started_ms + STALE_MS
            if since_ms <= now_ms:
                stale.append((app, since_ms))
        return stale


def _cut(line: bytes) -> list[bytes]:
    """Cut a line into pieces of at most MAX_LINE_BYTES; an empty line is one piece."""
    return [line[start : start + MAX_LINE_BYTES] for start in range(0, len(line) or 1, MAX_LINE_BYTES)]
