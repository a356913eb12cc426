"""Reads what a compiler left in its folder, and writes beside it. Starts nothing.

A program may take its compiler over. What that leaves in its folder is from a stranger: a symbolic link would lead the
host out of it, a FIFO would hold the host forever, a sparse file would fill its memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from microclaw.builds.confinement import FILE_LIMIT_BYTES
from microclaw.durable import open_regular, replace_file
from microclaw.errors import BuildError, Diagnostic, StoreError

_NEXT: Final = "build again; if it stays, look with microclaw doctor which compiler this is, and install it again"


def read_output(path: Path, *, stage: str, limit_bytes: int = FILE_LIMIT_BYTES) -> bytes:
    """A file that a compiler made. Raises BuildError if it is missing, no ordinary file, or too long."""
    try:
        descriptor = open_regular(path, os.O_RDONLY)
    except (OSError, StoreError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is something else"
        raise _failure(f"the compiler left no file {path.name} ({why})", stage) from exc
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_nlink != 1:
            raise _failure(f"the compiler left no file {path.name} (it has a second name)", stage)
        data = file.read(limit_bytes + 1)
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
