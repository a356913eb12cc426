"""What makes changes of files last through a power cut. Knows nothing of what they hold."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, building: Path, content: bytes) -> None:
    """Put `content` at `path`, mode 0600, whole or not at all: built beside it as `building`, which must not be there.

    It is on the disk when this returns; OSError leaves what was there.
    """
    fd = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        building.rename(path)
    except BaseException:
        building.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put on the disk what was made, renamed or removed in the folder."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
