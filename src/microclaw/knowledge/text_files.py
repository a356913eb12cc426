"""Reads and writes text files that people edit too: limited size, whole writes, old versions kept."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from microclaw.durable import make_folders, replace_file
from microclaw.errors import ConfigError, StoreError
from microclaw.text import encodable

MAX_TEXT_BYTES: Final = 64 * 1024
VERSIONS_KEPT: Final = 20  # of one file
_MAX_KEPT_BYTES: Final = 4 << 20
_MISSING: Final = (-1, -1)


class TextCache:
    """Reads a file again only when its time or size changed. A missing file is an empty text."""

    def __init__(self, max_bytes: int = MAX_TEXT_BYTES, max_files: int = 256) -> None:
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._seen: dict[Path, tuple[tuple[int, int], str]] = {}  # with the file's time and size
        self._changing = threading.Lock()  # turns read at the same time

    def read(self, path: Path) -> str:
        """At most `max_bytes` of it, cut at a line's end; blocking."""
        stamp = _stamp(path)
        if stamp == _MISSING:
            with self._changing:
                self._seen.pop(path, None)
            return ""
        found = self._seen.get(path)
        if found is None or found[0] != stamp:
            found = stamp, read_text(path, self._max_bytes)
            with self._changing:
                if path not in self._seen and len(self._seen) >= self._max_files:
                    del self._seen[next(iter(self._seen))]
                self._seen[path] = found
        return found[1]


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """The file's first `max_bytes`, cut at a line's end; "" when there is none. Bytes that are not UTF-8 are replaced.

    Only regular files are read: a symbolic link may point anywhere, and a pipe would never end.
    """
    return _text(_cut(_read_bytes(path, max_bytes + 1), max_bytes))


def cut_text(text: str, max_bytes: int) -> str:
    """The beginning of a text, as `read_text` gives a file's."""
    if len(text) * 4 <= max_bytes:
        return text
    return _cut(text.encode(), max_bytes).decode(errors="replace")


def read_whole(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """`read_text` for a file that is written back: ConfigError for a longer one, as its rest would be lost."""
    data = _read_bytes(path, max_bytes + 1)
    if len(data) > max_bytes:
        raise ConfigError(
            f"{path} is longer than {max_bytes:,} bytes: nothing is added to it or taken from it",
            next_step="shorten it with an editor, or move parts of it elsewhere",
        )
    return _text(data)


def write_text(path: Path, text: str, *, max_bytes: int = MAX_TEXT_BYTES) -> None:
    """Replace the whole file. After a power cut either the old or the new text is there."""
    _write_bytes(path, text.encode(errors="replace"), max_bytes)


def _write_bytes(path: Path, data: bytes, max_bytes: int) -> None:
    if len(data) > max_bytes:
        raise ConfigError(
            f"{path.name} would have {len(data):,} bytes, at most {max_bytes:,} are kept",
            next_step=f"make {path} shorter: microclaw memory edit",
        )
    try:
        make_folders(path.parent)
        if path.is_symlink():
            raise OSError(0, "it is a symbolic link")
        replace_file(path, data)
    except OSError as exc:
        raise _failed(path, exc) from exc


def keep_version(path: Path, folder: Path, now: datetime) -> Path | None:
    """Copy a file into `folder` before it changes. The oldest copies beyond VERSIONS_KEPT are removed."""
    data = _read_bytes(path, _MAX_KEPT_BYTES + 1)
    if not data:
        return None
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")
    kept = folder / f"{path.stem}.{stamp}{path.suffix}"
    _write_bytes(kept, data, _MAX_KEPT_BYTES)
    for old in versions_of(path, folder)[:-VERSIONS_KEPT]:
        old.unlink(missing_ok=True)
    return kept


def versions_of(path: Path, folder: Path) -> list[Path]:
    """The kept versions of a file, oldest first."""
    return sorted(folder.glob(f"{path.stem}.*T*{path.suffix}"))


def files_in(folder: Path, suffix: str, max_bytes: int) -> Iterator[os.DirEntry[str]]:
    """The files of a folder, without links, hidden ones and larger ones. OSError."""
    for entry in entries_of(folder):
        with contextlib.suppress(FileNotFoundError):
            wanted = entry.name.endswith(suffix) and entry.name[0] != "." and entry.is_file(follow_symlinks=False)
            if wanted and entry.stat(follow_symlinks=False).st_size <= max_bytes:
                yield entry


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, under names that are UTF-8 on the disk; the store takes no others."""
    try:
        with os.scandir(folder) as entries:
            return [e for e in entries if encodable(e.name) == e.name]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _cut(data: bytes, max_bytes: int) -> bytes:
    return data if len(data) <= max_bytes else data[: data.rfind(b"\n", 0, max_bytes) + 1 or max_bytes]


def _read_bytes(path: Path, most: int) -> bytes:
    try:
        with open(path, "rb", opener=_open_regular) as file:
            return file.read(most)
    except FileNotFoundError:
        return b""
    except OSError as exc:
        raise _failed(path, exc) from exc


def _open_regular(path: str, flags: int) -> int:
    """For `open`: neither what a link points to, nor a wait for the writer of a pipe."""
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(0, "it is not a file")
    return fd


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace").replace("\r\n", "\n")


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    return found.st_mtime_ns, found.st_size


def _failed(path: Path, exc: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be used: {exc.strerror or exc}",
        next_step="check its owner and permissions, and the disk's free space",
    )
