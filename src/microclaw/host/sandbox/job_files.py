"""Checks the names of a job's files, and takes files out of its folder. No link is followed.

Files are opened from a descriptor of the folder, part by part: a job may leave a link to a file of this host, a device,
a pipe that never ends, or a name with `..`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from microclaw.errors import TaskRefused
from microclaw.host.sandbox.job import SandboxJob
from microclaw.text import without_marks

MAX_NAME_BYTES: Final = 200
MAX_PARTS: Final = 4
_PART: Final = re.compile(r"[^\W.][\w .()+@=,-]*")
# The most bytes that a file takes on a disk beyond its size.
PAGE: Final = 4096
_BLOCK: Final = 1 << 20
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# The errors of O_NOFOLLOW and O_DIRECTORY for a link.
_LINK_ERRORS: Final = (errno.ENOTDIR, errno.ELOOP)


def checked_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a relative name such as `out/plot.png`. Raises TaskRefused for any other name."""
    parts = tuple(name.split("/"))
    is_long = len(name.encode(errors="replace")) > MAX_NAME_BYTES or len(parts) > MAX_PARTS
    if is_long or not all(_PART.fullmatch(without_marks(part)) for part in parts):
        raise TaskRefused(
            f"{name[:80]!r} is not a valid file name of a task",
            next_step="letters, digits, spaces and ._-()+@=, with / between, none beginning with a dot; "
            f"at most {MAX_NAME_BYTES} bytes in {MAX_PARTS} parts",
        )
    return parts


def check_job(job: SandboxJob) -> None:
    """Raise TaskRefused for an invalid file name, or for files that are larger than the job's disk."""
    for name in (*job.files, *job.keep):
        checked_parts(name)
    if sum(len(content) + PAGE for content in job.files.values()) > job.limits.disk_bytes:
        raise TaskRefused("code and files are larger than its disk", next_step="send less, or raise tasks.disk_mb")


def take_files(
    names: Sequence[str], folder: int, place: Path, limit: int
) -> tuple[Mapping[str, Path], Mapping[str, str]]:
    """Copy files into `place`, which is created; return the copies, and for the other names the reason.

    Call it when no process of the job lives. The copies have up to `limit` bytes together.
    """
    kept: dict[str, Path] = {}
    refused: dict[str, str] = {}
    left_bytes = limit
    for name in names:
        parts = checked_parts(name)
        target = place.joinpath(*parts)
        try:
            left_bytes -= _copy_file(folder, parts, target, left_bytes)
            kept[name] = target
        except FileNotFoundError:
            refused[name] = "it was not written"
        except OSError as problem:
            refused[name] = problem.strerror or str(problem)
            if problem.errno in _LINK_ERRORS:
                refused[name] = "its path has a link, or a file in place of a folder"
    return kept, refused


def _copy_file(folder: int, parts: tuple[str, ...], target: Path, max_bytes: int) -> int:
    """Copy one file and return its size. Raises OSError with the reason if the file may not be taken."""
    with ExitStack() as opened:
        descriptor = folder
        for part in parts[:-1]:
            descriptor = os.open(part, _FOLDER, dir_fd=descriptor)
            opened.callback(os.close, descriptor)
        source = os.open(parts[-1], _FILE, dir_fd=descriptor)
        opened.callback(os.close, source)
        size_bytes = _check_file(source, max_bytes)
        target.parent.mkdir(parents=True, exist_ok=True)
        # With a mode of ours, because the job's own may be setuid.
        copy_descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(copy_descriptor, "wb") as copy:
                # Only that size: a job that an engine left running may still write.
                for offset in range(0, size_bytes, _BLOCK):
                    copy.write(os.read(source, min(_BLOCK, size_bytes - offset)))
                return copy.tell()
        except OSError:
            target.unlink(missing_ok=True)
            raise


def _check_file(descriptor: int, max_bytes: int) -> int:
    """Return the size of a plain file. Raises OSError for another kind, a hard link, or a larger file."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is not a plain file")
    if status.st_nlink != 1:
        raise OSError("it has a second name (a hard link)")
    if status.st_size > max_bytes:
        raise OSError(f"it is too large ({status.st_size} bytes)")
    return status.st_size
