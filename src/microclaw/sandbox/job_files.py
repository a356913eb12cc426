"""Files into a job's folder before it starts, and out of it afterwards. A name is checked; no link is followed.

Both go by a descriptor of the folder, part by part: what a job leaves behind may be a link to a file of this host, a
device, a pipe that never ends, or a name with `..`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from microclaw.errors import TaskRefused
from microclaw.sandbox.identity import acting_as_job
from microclaw.text import without_marks

MAX_NAME_BYTES: Final = 200
MAX_PARTS: Final = 4
MAX_PART_CHARS: Final = 100
_PART: Final = re.compile(r"[^\W.][\w .()+@=,-]*")
_BLOCK: Final = 1 << 20
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINK_ON_ITS_WAY: Final = (errno.ENOTDIR, errno.ELOOP)  # what O_NOFOLLOW and O_DIRECTORY say of one


def checked_parts(name: str) -> tuple[str, ...]:
    """The parts of a plain relative name, as `plot.png` or `out/plot.png`. Raises TaskRefused for any other."""
    parts = tuple(name.split("/"))
    size = len(name.encode(errors="replace"))
    is_long = size > MAX_NAME_BYTES or len(parts) > MAX_PARTS or max(map(len, parts)) > MAX_PART_CHARS
    if is_long or not all(_PART.fullmatch(without_marks(part)) for part in parts):
        raise TaskRefused(
            f"{name[:80]!r} is no name of a task's file",
            next_step="letters, digits, spaces and ._-()+@=, with / between, none beginning with a dot; "
            f"at most {MAX_NAME_BYTES} bytes in {MAX_PARTS} parts, a part {MAX_PART_CHARS} characters",
        )
    return parts


def put_files(files: Mapping[str, bytes | Path], folder: int, limit: int) -> None:
    """Write the files into the open folder. Raises TaskRefused for a wrong name, or more than `limit` bytes."""
    left = limit
    for name, content in files.items():
        *folders, last = checked_parts(name)
        try:
            left -= len(content) if isinstance(content, bytes) else content.stat().st_size
            if left < 0:
                raise TaskRefused("the job's files are larger than its disk", next_step="give it fewer files")
            with acting_as_job(), _opened(folder, folders, create=True) as place:
                target = os.open(last, _NEW, 0o644, dir_fd=place)
            with os.fdopen(target, "wb") as out:
                out.write(content if isinstance(content, bytes) else content.read_bytes())
        except OSError as problem:
            raise TaskRefused(
                f"the job's file {name!r} cannot be put in: {problem.strerror}", next_step="give it fewer files"
            ) from problem


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
            continue
        except OSError as problem:
            is_link = problem.errno in _LINK_ON_ITS_WAY
            refused[name] = "a link or no folder on its way" if is_link else problem.strerror or str(problem)
    return kept, refused


def _take(folder: int, parts: tuple[str, ...], target: Path, left: int) -> int:
    """Its size. Raises OSError, which says why it is not taken."""
    *folders, last = parts
    with _opened(folder, folders, create=False) as place:
        found = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=place)
    try:
        what = os.fstat(found)
        if not stat.S_ISREG(what.st_mode):
            raise OSError("it is no plain file")
        if what.st_nlink != 1:
            raise OSError("it has a second name (a hard link)")
        if what.st_size > left:
            raise OSError(f"it is too large ({what.st_size} bytes)")
        target.parent.mkdir(parents=True, exist_ok=True)
        out = os.open(target, _NEW, 0o600)  # a mode of ours: the job's may be setuid
        try:
            with os.fdopen(found, "rb", closefd=False) as source, os.fdopen(out, "wb") as copy:
                for at in range(0, what.st_size, _BLOCK):  # no more: a job that an engine left running may still write
                    copy.write(source.read(min(_BLOCK, what.st_size - at)))
                return copy.tell()
        except OSError:
            target.unlink(missing_ok=True)
            raise
    finally:
        os.close(found)


@contextmanager
def _opened(folder: int, parts: Sequence[str], *, create: bool) -> Iterator[int]:
    """The folder `parts` below `folder`, opened part by part without following a link."""
    here = os.dup(folder)
    try:
        for part in parts:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=here)
            deeper = os.open(part, _FOLDER, dir_fd=here)
            os.close(here)
            here = deeper
        yield here
    finally:
        os.close(here)
