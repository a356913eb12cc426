"""What other hosts of a cluster get of this home's security log: its id, and the lines after a place. It sends none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from microclaw.audit.chain import ChainedLine, fields_of, place_of, read_head
from microclaw.audit.files import FOLDER, check_folder, head_path, locked, set_paths
from microclaw.durable import open_regular, replace_file
from microclaw.errors import StoreError

SHARED: Final = "audit.shared"  # in the host's home
MAX_SHARED_BYTES: Final = 4096
_BEGIN_BYTES: Final = 64 << 10  # of a file, in which its first line with a place is looked for


class SharedAs(msgspec.Struct, frozen=True):
    """This home's log is `log` in the cluster `cluster`: other homes have other ids, also of hosts of one name."""

    log: str
    cluster: str


def shared_as(home: Path) -> SharedAs | None:
    """None where this home was in no cluster. OSError or StoreError."""
    path = home / SHARED
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            return msgspec.json.decode(file.read(MAX_SHARED_BYTES), type=SharedAs)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise StoreError(f"{path} cannot be read: {exc}", next_step="remove it: the log gets another id") from exc


def share_as(home: Path, known: SharedAs) -> None:
    """OSError."""
    replace_file(home / SHARED, msgspec.json.encode(known) + b"\n", only_writer=True)


def lines_after(home: Path, stem: str, n: int, *, most_bytes: int) -> list[tuple[int, bytes]]:
    """The lines of a set with a place behind `n`, in order, with their numbers; some more bytes than `most_bytes` at
    most. Blocking. OSError or StoreError."""
    folder = home / FOLDER
    if not check_folder(folder):
        return []
    with locked(folder):
        head = read_head(head_path(folder, stem))
        if head is not None and head.last.n <= n and head.file_bytes == _size(set_paths(folder, stem)[-1]):
            return []
        found: list[tuple[int, bytes]] = []
        size = 0
        for path in _files_after(folder, stem, n):
            for place, line in _chained(path):
                if place.n > n:
                    found.append((place.n, line))
                    size += len(line) + 1
                if size >= most_bytes:
                    return found
        return found


def _files_after(folder: Path, stem: str, n: int) -> list[Path]:
    """Those that may have a line behind `n`, the oldest first."""
    chosen: list[Path] = []
    for path in reversed(set_paths(folder, stem)):
        if not path.exists():
            continue
        chosen.append(path)
        first = next((place.n for place, _ in _chained(path, _BEGIN_BYTES)), None)
        if first is not None and first <= n + 1:
            break
    return chosen[::-1]


def _chained(path: Path, most_bytes: int = -1) -> Iterator[tuple[ChainedLine, bytes]]:
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        data = file.read(most_bytes)
    for line in data[: data.rfind(b"\n") + 1].split(b"\n"):
        fields = fields_of(line)
        if fields is not None and (place := place_of(fields)) is not None:
            yield place, line


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
