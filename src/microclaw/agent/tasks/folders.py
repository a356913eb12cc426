"""A folder for each task below the home: `job` and `files` of the sandbox, and long `output`.

It blocks: call it in a thread.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from microclaw.durable import replace_file
from microclaw.errors import ToolFailed
from microclaw.events import image_type
from microclaw.host.store.tasks import FileRow

_log = logging.getLogger(__name__)
# Free space that a task leaves on this machine's disk, besides its own files.
FREE_BYTES: Final = 64 << 20
_KEPT = "files"
_OUTPUT = "output"
_FULL: Final = "make room on this machine's disk, then ask again"
_SUFFIXES: Final = {
    ".svg": "image/svg+xml", ".csv": "text/csv", ".json": "application/json", ".txt": "text/plain",
    ".md": "text/markdown", ".html": "text/html", ".pdf": "application/pdf", ".wav": "audio/wav",
}  # fmt: skip


def kept_file(root: Path, number: int, name: str) -> Path:
    """Return the path of a file of a task that has ended."""
    return root / str(number) / _KEPT / name


def check_room(root: Path, wanted_bytes: int) -> None:
    """Raise ToolFailed if the disk cannot hold `wanted_bytes` more."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free
    except OSError as exc:
        raise ToolFailed(f"{root} cannot be used: {exc.strerror or exc}", next_step=_FULL) from exc
    needed = wanted_bytes + FREE_BYTES
    if free < needed:
        text = f"this machine's disk has {free >> 20} MB free, a task needs {needed >> 20} MB"
        raise ToolFailed(text, next_step=_FULL)


def keep_output(folder: Path, output: bytes) -> None:
    """Store the whole output of a task whose row has only its end. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(folder / _OUTPUT, output)


def kept_output(folder: Path, after: int, size: int) -> tuple[bytes, int] | None:
    """Return up to `size` bytes of the output from `after` on, and its whole size; None if it has no file."""
    try:
        with (folder / _OUTPUT).open("rb") as file:
            file.seek(after)
            return file.read(size), os.fstat(file.fileno()).st_size
    except OSError:
        return None


def remove_others(root: Path, numbers: Collection[int]) -> None:
    """Remove every folder except the folders of these tasks."""
    if root.is_dir():
        for path in set(root.iterdir()) - {root / str(number) for number in numbers}:
            remove(path)


def remove(path: Path) -> None:
    """Remove a folder. After a fault of the disk `remove_others` tries again; code never sees these folders."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        pass
    except (OSError, RecursionError) as exc:
        _log.warning("%s is not removed: %s", path, exc)


def file_rows(files: Mapping[str, Path]) -> tuple[FileRow, ...]:
    """Return the files that the sandbox copied; their types by the first bytes, for text by the name."""
    rows = []
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            picture_type = image_type(file.read(16))
        kind = picture_type or _SUFFIXES.get(path.suffix.lower(), "application/octet-stream")
        rows.append(FileRow(name, path.stat().st_size, kind))
    return tuple(rows)
