"""Writes and reads small private files whole or not at all. Knows nothing of what they hold.

A crash or a full disk at any moment leaves the file as it was: the new one is written and synced beside it, then
renamed over it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from microclaw.errors import StoreError
from microclaw.store.durable import replace_file

MAX_BYTES: Final = 256 * 1024


def make_folder(folder: Path) -> None:
    """Make the folder, for its owner alone; StoreError when it cannot be, or others may enter it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as exc:
        raise _failed("cannot use", folder, exc) from exc
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise StoreError(
            f"{folder} is open to others (mode {stat.S_IMODE(found.st_mode):o}, owner {found.st_uid})",
            next_step=f"make it yours alone: chmod 700 {folder}",
        )


def write_private(path: Path, content: bytes) -> None:
    """Put `content` at `path` with mode 0600, on the disk when this returns; StoreError leaves what was there."""
    building = path.with_name(path.name + ".new")
    try:
        building.unlink(missing_ok=True)
        replace_file(path, building, content)
    except OSError as exc:
        raise _failed("cannot write", path, exc) from exc


def read_private(path: Path) -> bytes | None:
    """The file's content, None when there is none; StoreError when others could read or change it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _failed("cannot read", path, exc) from exc
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(file.fileno())
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or mode & 0o077:
            raise StoreError(
                f"{path} is not a private file (mode {mode:o}, owner {found.st_uid}): its key may be known to others",
                next_step=f"find out who could read it; if nobody did: chmod 600 {path}",
            )
        try:
            content = file.read(MAX_BYTES + 1)
        except OSError as exc:
            raise _failed("cannot read", path, exc) from exc
    if len(content) > MAX_BYTES:
        raise StoreError(f"{path} is larger than {MAX_BYTES} bytes", next_step="restore it from a backup")
    return content


def _failed(what: str, path: Path, exc: OSError) -> StoreError:
    return StoreError(
        f"{what} {path}: {exc.strerror or exc}",
        next_step="check the folder's owner, permissions and free space, then start the host again",
    )
