"""The board's /storage partition: a directory on the host, bounded, without a way out of it."""

from __future__ import annotations

from pathlib import Path


class Storage:
    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory

    def close(self) -> None: ...
