"""Reads what a compiler left in its folder, and writes beside it. Starts nothing.

A program may take its compiler over. What that leaves in its folder is from a stranger: a symbolic link would lead the
host out of it, a FIFO would hold the host forever, a sparse file would fill its memory.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from microclaw.builds.confinement import FILE_LIMIT_BYTES
from microclaw.durable import replace_file
from microclaw.errors import BuildError, Diagnostic

_NEXT: Final = "build again; if it stays, look with microclaw doctor which compiler this is, and install it again"


def read_output(path: Path, *, stage: str, limit_bytes: int = FILE_LIMIT_BYTES) -> bytes:
    """A file that a compiler made. Raises BuildError if it is missing, no ordinary file, or too long."""
    try:
        # O_NONBLOCK: a FIFO without a writer would hold open(2) forever
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as exc:
        raise _failure(f"the compiler left no file {path.name} ({exc.strerror})", stage) from exc
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise _failure(f"the compiler left no file {path.name} (it is something else)", stage)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit_bytes + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit_bytes:
        raise _failure(f"the compiler left no file {path.name} of at most {limit_bytes} bytes: it is longer", stage)
    return data


def write_input(path: Path, data: bytes, *, stage: str) -> None:
    """Put a file into a folder where a compiler ran before: what it left there under this name is not followed."""
    try:
        replace_file(path, data, sync=False)
    except OSError as exc:
        raise _failure(f"{path.name} cannot be written for the compiler ({exc.strerror})", stage) from exc


def _failure(message: str, stage: str) -> BuildError:
    return BuildError((Diagnostic("error", message, hint=_NEXT),), stage=stage)
