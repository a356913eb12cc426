"""The board's /storage partition: a directory on the host, bounded, without a way out. Knows no descriptors."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path, PurePosixPath
from typing import Final

CAPACITY_BYTES: Final = 1_048_576
MAX_NAME_BYTES: Final = 64


class Storage:
    """`directory` None: a temporary one, made on first use and removed by `close`."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._temporary: Path | None = None
        self._lock = threading.Lock()

    def resolve(self, path: str) -> Path | None:
        """The host's path of /storage/...; None when it is not below /storage, or would leave it by `..` or a link."""
        parts = PurePosixPath(path).parts
        if len(parts) < 3 or parts[:2] != ("/", "storage"):
            return None
        names = parts[2:]
        if any(name in ("..", ".") or len(name.encode()) > MAX_NAME_BYTES or "\0" in name for name in names):
            return None
        root = self._root()
        target = root.joinpath(*names)
        for place in (target, *target.parents):
            if place == root:
                return target
            if place.is_symlink():
                return None
        return None

    def free_bytes(self) -> int:
        """What still fits; files that were put there from outside count too."""
        used = 0
        for base, _, names in os.walk(self._root()):
            for name in names:
                used += (Path(base) / name).lstat().st_size
        return max(0, CAPACITY_BYTES - used)

    def close(self) -> None:
        with self._lock:
            if self._temporary is not None:
                shutil.rmtree(self._temporary, ignore_errors=True)
                self._temporary = self._directory = None

    def _root(self) -> Path:
        with self._lock:
            if self._directory is None:
                self._directory = self._temporary = Path(tempfile.mkdtemp(prefix="microclaw-storage-"))
            self._directory.mkdir(parents=True, exist_ok=True)
            return self._directory
