"""Files into a job's folder before it starts, and out of it afterwards. A name is checked; no link is followed.

Both go by a descriptor of the folder, part by part: what a job leaves behind may be a link to a file of this host, a
device, a pipe that never ends, or a name with `..`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from microclaw.errors import JobRefused
from microclaw.sandbox.identity import acting_as_job

MAX_FILES: Final = 256
MAX_NAME_BYTES: Final = 512
MAX_PARTS: Final = 16
_BLOCK: Final = 1 << 20
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def checked_parts(name: str) -> tuple[str, ...]:
    """The parts of a name of a job's file. Raises JobRefused for one that is not relative, or too long."""
    parts = tuple(name.split("/"))
    wrong = any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts) or len(parts) > MAX_PARTS
    if wrong or len(name.encode()) > MAX_NAME_BYTES or any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise JobRefused(
            f"{name[:80]!r} is no name of a file of a job",
            next_step="use a relative path without `..`, such as data/input.csv",
        )
    return parts


def put_files(files: Mapping[str, bytes | Path], folder: int, limit: int) -> None:
    """Write the files into the open folder. Raises JobRefused for a wrong name, or more than `limit` bytes."""
    left = limit
    for name, content in files.items():
        *folders, last = checked_parts(name)
        try:
            with acting_as_job(), _opened(folder, folders, create=True) as place:
                target = os.open(last, _NEW, 0o644, dir_fd=place)
            try:
                left -= _put(content, target, left)
            finally:
                os.close(target)
        except OSError as problem:
            raise JobRefused(
                f"the job's file {name!r} cannot be put in: {problem.strerror}", next_step="give it fewer files"
            ) from problem


def _put(content: bytes | Path, target: int, left: int) -> int:
    written = 0
    for block in _blocks(content):
        written += len(block)
        if written > left:
            raise JobRefused("the job's files are larger than its disk", next_step="give it fewer files")
        _write_all(target, block)
    return written


def _blocks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as source:
        while block := source.read(_BLOCK):
            yield block


def _write_all(target: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(target, view) :]


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
        except _Refused as reason:
            refused[name] = str(reason)
        except OSError as problem:
            refused[name] = "a link or no folder on its way" if problem.errno in _NO_WAY else f"{problem.strerror}"
    return kept, refused


class _Refused(Exception):
    """Why a file is not taken out."""


_NO_WAY: Final = (20, 40)  # ENOTDIR, ELOOP: what O_NOFOLLOW and O_DIRECTORY say of a link


def _take(folder: int, parts: tuple[str, ...], target: Path, left: int) -> int:
    *folders, last = parts
    with _opened(folder, folders, create=False) as place:
        found = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=place)
        try:
            what = os.fstat(found)
            if not stat.S_ISREG(what.st_mode):
                raise _Refused("it is no plain file")
            if what.st_nlink != 1:
                raise _Refused("it has a second name (a hard link)")
            if what.st_size > left:
                raise _Refused(f"it is too large ({what.st_size} bytes)")
            return _copy(found, target, left)
        finally:
            os.close(found)


def _copy(found: int, target: Path, left: int) -> int:
    """With a mode of ours: not the job's, which may be setuid."""
    target.parent.mkdir(parents=True, exist_ok=True)
    copied = 0
    out = os.open(target, _NEW, 0o600)
    try:
        while block := os.read(found, _BLOCK):
            copied += len(block)
            if copied > left:
                raise _Refused("it is too large")
            _write_all(out, block)
    except BaseException:
        target.unlink()
        raise
    finally:
        os.close(out)
    return copied


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
