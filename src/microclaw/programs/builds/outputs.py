"""Reads the files in a compiler's folder, and writes its inputs there. Starts nothing.

A program may take its compiler over, so the files in its folder are not trusted: a symbolic link would lead the host
out of it, a FIFO would block the host forever, a sparse file would fill its memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from microclaw.durable import open_regular, replace_file
from microclaw.errors import BuildError, Diagnostic, StoreError
from microclaw.programs.builds.confinement import FILE_LIMIT_BYTES

_NEXT: Final = "build again; if it stays, look with microclaw doctor which compiler this is, and install it again"


def read_output(path: Path, *, stage: str, limit_bytes: int = FILE_LIMIT_BYTES) -> bytes:
    """Read a file that a compiler made. Raises BuildError if it is missing, not an ordinary file, or too long."""
    try:
        descriptor = open_regular(path, os.O_RDONLY)
    except (OSError, StoreError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is something else"
        raise _failure(f"the compiler left no file {path.name} ({reason})", stage) from exc
    with os.fdopen(descriptor, "rb") as file:
        # A second name would be a hard link to a file outside of the folder.
        if os.fstat(descriptor).st_nlink != 1:
            raise _failure(f"the compiler left no file {path.name} (it has a second name)", stage)
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise _failure(f"the compiler left no file {path.name} of at most {limit_bytes} bytes: it is longer", stage)
    return data


def write_input(path: Path, data: bytes, *, stage: str) -> None:
    """Write a file into a folder where a compiler ran before, without following a link that it left under this name."""
    try:
        replace_file(path, data, sync=False)
    except OSError as exc:
        raise _failure(f"{path.name} cannot be written for the compiler ({exc.strerror})", stage) from exc


def _failure(message: str, stage: str) -> BuildError:
    return BuildError((Diagnostic("error", message, hint=_NEXT),), stage=stage)
