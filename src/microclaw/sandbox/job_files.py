"""The names of a job's files, and what it left behind, taken out. No link is followed.

It goes by a descriptor of the folder, part by part: what a job leaves behind may be a link to a file of this host, a
device, a pipe that never ends, or a name with `..`.
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
from microclaw.sandbox.job import SandboxJob
from microclaw.text import without_marks

MAX_NAME_BYTES: Final = 200
MAX_PARTS: Final = 4
_PART: Final = re.compile(r"[^\W.][\w .()+@=,-]*")
PAGE: Final = 4096  # the most that a file takes on a disk beyond its size
_BLOCK: Final = 1 << 20
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LINK_ON_ITS_WAY: Final = (errno.ENOTDIR, errno.ELOOP)  # what O_NOFOLLOW and O_DIRECTORY say of one


def checked_parts(name: str) -> tuple[str, ...]:
    """The parts of a plain relative name, as `plot.png` or `out/plot.png`. Raises TaskRefused for any other."""
    parts = tuple(name.split("/"))
    is_long = len(name.encode(errors="replace")) > MAX_NAME_BYTES or len(parts) > MAX_PARTS
    if is_long or not all(_PART.fullmatch(without_marks(part)) for part in parts):
        raise TaskRefused(
            f"{name[:80]!r} is no name of a task's file",
            next_step="letters, digits, spaces and ._-()+@=, with / between, none beginning with a dot; "
            f"at most {MAX_NAME_BYTES} bytes in {MAX_PARTS} parts",
        )
    return parts


def check_job(job: SandboxJob) -> None:
    """Raises TaskRefused for a wrong name, or for files that its disk does not hold."""
    for name in (*job.files, *job.keep):
        checked_parts(name)
    if sum(len(content) + PAGE for content in job.files.values()) > job.limits.disk_bytes:
        raise TaskRefused("code and files are larger than its disk", next_step="give it less, or raise tasks.disk_mb")


def take_files(
    names: Sequence[str], folder: int, place: Path, limit: int
) -> tuple[Mapping[str, Path], Mapping[str, str]]:
    """Copy what is there of `names` into `place`, which is made; also why the others are refused.

    To be called when no process of the job lives. Together they are at most `limit` bytes.
    """
    kept: dict[str, Path] = {}
    refused: dict[str, str] = {}
    left = limit
    for name in names:
        parts = checked_parts(name)
        target = place.joinpath(*parts)
        try:
            left -= _take(folder, parts, target, left)
            kept[name] = target
        except FileNotFoundError:
            refused[name] = "it was not written"
        except OSError as problem:
            is_link = problem.errno in _LINK_ON_ITS_WAY
            refused[name] = "a link or no folder on its way" if is_link else problem.strerror or str(problem)
    return kept, refused


def _take(folder: int, parts: tuple[str, ...], target: Path, left: int) -> int:
    """Its size. Raises OSError, which says why it is not taken."""
    with ExitStack() as opened:
        for part, flags in (*((part, _FOLDER) for part in parts[:-1]), (parts[-1], _FILE)):
            folder = os.open(part, flags, dir_fd=folder)
            opened.callback(os.close, folder)
        what = os.fstat(folder)
        if not stat.S_ISREG(what.st_mode):
            raise OSError("it is no plain file")
        if what.st_nlink != 1:
            raise OSError("it has a second name (a hard link)")
        if what.st_size > left:
            raise OSError(f"it is too large ({what.st_size} bytes)")
        target.parent.mkdir(parents=True, exist_ok=True)
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # a mode of ours: the job's may be setuid
        try:
            with os.fdopen(out, "wb") as copy:
                for at in range(0, what.st_size, _BLOCK):  # no more: a job that an engine left running may still write
                    copy.write(os.read(folder, min(_BLOCK, what.st_size - at)))
                return copy.tell()
        except OSError:
            target.unlink(missing_ok=True)
            raise
