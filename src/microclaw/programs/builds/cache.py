"""A cache of builds on disk, by the hash of everything that they were made from. Does not interpret its entries."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
from pathlib import Path
from typing import Final

from microclaw.durable import replace_file
from microclaw.host.config.places import cache_folder

MAX_CACHE_BYTES: Final = 256 << 20
_SUFFIX: Final = ".build"
_DIGEST_BYTES: Final = 32
_log = logging.getLogger(__name__)


class BuildCache:
    """Blobs by key in one directory, each with a checksum; the least recently used ones are removed if it is full."""

    def __init__(self, directory: Path, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self.directory = directory
        self._max_bytes = max_bytes
        # Counted at the first put. Other processes may write here too, so it is only an estimate.
        self._size_bytes: int | None = None

    def get(self, key: str) -> bytes | None:
        """Return the blob, or None if there is none or it is damaged."""
        path = self._path(key)
        try:
            stored = path.read_bytes()
        except FileNotFoundError:
            return None
        digest = stored[:_DIGEST_BYTES]
        blob = stored[_DIGEST_BYTES:]
        if hashlib.sha256(blob).digest() != digest:
            _log.warning("a damaged entry in the build cache was removed: %s", path.name)
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
        return blob

    def put(self, key: str, blob: bytes) -> None:
        """Store a blob. If the disk refuses it, that is logged and the build continues without the cache."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(self._path(key), hashlib.sha256(blob).digest() + blob, sync=False)
        except OSError as exc:
            _log.warning("the build cache %s cannot be written: %s", self.directory, exc)
            return
        self._make_room(len(blob) + _DIGEST_BYTES)

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}{_SUFFIX}"

    def _make_room(self, added_bytes: int) -> None:
        """Remove the least recently used blobs, but never the newest, until the rest fits."""
        if self._size_bytes is not None and self._size_bytes + added_bytes <= self._max_bytes:
            self._size_bytes += added_bytes
            return
        entries = []
        for path in self.directory.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                entries.append((stat.st_mtime_ns, stat.st_size, path))
        total_bytes = sum(size_bytes for _, size_bytes, _ in entries)
        for _, size_bytes, path in sorted(entries)[:-1]:
            if total_bytes <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            total_bytes -= size_bytes
        self._size_bytes = total_bytes


@functools.cache
def default_cache() -> BuildCache:
    """Return the cache in the folder for files that can be made again."""
    return BuildCache(cache_folder(os.environ))
