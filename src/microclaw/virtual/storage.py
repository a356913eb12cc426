"""The board's folders on the host computer: /storage, its temporary folder, its flash. Reads no file in them.

A lock in the folder shows that a board uses it. Unlike a process number in a file, a lock always ends with its process.
Folders that a killed board left behind are removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import threading
from pathlib import Path, PurePosixPath
from typing import Final

from microclaw.errors import ConfigError

CAPACITY_BYTES: Final = 1_048_576
MAX_NAME_BYTES: Final = 64
PREFIX: Final = "microclaw-virtual-"
LOCK_NAME: Final = "lock"


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


class TemporaryFolder:
    """A new folder of mode 0700 that this process holds; those of boards that were killed are removed on the way."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Locked before it has its name: a folder whose lock is free belongs to no living board.
        self._lock = os.open(self.path / f"{LOCK_NAME}.new", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (self.path / f"{LOCK_NAME}.new").rename(self.path / LOCK_NAME)
        remove_stale(self.path.parent)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def hold_flash(folder: Path) -> int:
    """Make the folder and lock it for as long as this process lives; ConfigError when another board has it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise ConfigError(f"cannot use {folder} as flash: {exc.strerror}", next_step="choose another --flash") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(lock)
        raise ConfigError(
            f"another virtual board uses {folder} as its flash", next_step="choose another --flash, or end that board"
        ) from exc
    return lock


def remove_stale(parent: Path) -> None:
    """Remove our own temporary folders there whose boards no longer live."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # not one of ours, just being made, or just being removed
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue  # its board lives
        finally:
            os.close(lock)
