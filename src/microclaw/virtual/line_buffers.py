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
        """The programs whose lines have no end."""
        return list(self._partial)

    def stale(self, now_ms: float) -> list[tuple[str | None, float]]:
        """The programs whose lines had no end for so long that they count as ended, with the time since when."""
        stale = [(app, started_ms + STALE_MS) for app, (started_ms, _) in self._partial.items()]
        return [(app, since_ms) for app, since_ms in stale if since_ms <= now_ms]
