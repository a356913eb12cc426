"""The board's folders on the host computer: its temporary folder, its flash. Reads no file in them.

A lock in the folder shows that a board uses it. Unlike a process number in a file, a lock always ends with its process.
Folders that a killed board left behind are removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Final

from microclaw.errors import ConfigError

PREFIX: Final = "microclaw-virtual-"
LOCK_NAME: Final = "lock"


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
    """Make the folder and lock it until the descriptor is closed; ConfigError when another board has it."""
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
