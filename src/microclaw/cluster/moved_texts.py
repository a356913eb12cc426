"""Memory and persona on their way into a cluster's store, which has them as rows, and back into a host's files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final

from microclaw.cluster import moved_sessions
from microclaw.durable import make_folders, replace_file
from microclaw.errors import StoreError
from microclaw.store.sqlite_file import connect
from microclaw.store.text_rows import old_texts, put_text

TABLES: Final = ("texts", "old_texts")
FOLDERS: Final = ("memory", "config")  # below the home
_VERSIONS: Final = "versions"
_MARKS: Final = ".consolidated.json"  # what was taken over from the daily notes
_MAX_BYTES: Final = 4 << 20
_MAX_DEPTH: Final = 3  # memory/people/NAME/MEMORY.md


def count_texts(home: Path) -> dict[str, int]:
    """How many rows the texts of a host's files make, by table."""
    found = sum(1 for _ in _read(home))
    return {TABLES[0]: found} if found else {}


def put_texts(home: Path, store: Path) -> None:
    """Put the texts of a host's files into a store of this version that no host uses."""
    with closing(connect(store)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for name, text, changed_ms in _read(home):
            put_text(connection, name, text, changed_ms, keep=False)
        connection.execute("COMMIT")


def take_texts(connection: sqlite3.Connection, home: Path) -> None:
    """Write the texts of a store beside the home's folders, for `put_in_place`, and take them out of it."""
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    remove_building(home)
    if not there.issuperset(TABLES):
        return  # of an older microclaw
    for name, text, changed_ms in connection.execute("SELECT name, text, changed_ms FROM texts ORDER BY name"):
        _write(home, PurePosixPath(name), text, changed_ms)
    for old in old_texts(connection):
        path = PurePosixPath(old.name)
        stamp = datetime.fromtimestamp(old.kept_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")
        kept = path.parent / _VERSIONS / f"{path.stem}.{stamp}{old.version % 10**6:06}{path.suffix}"
        _write(home, kept, old.text, old.kept_ms)
    for table in TABLES:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours


def replaced(home: Path) -> str | None:
    """What of the home's texts would be put aside; None without any."""
    found = {name.partition("/")[0] for name, _, _ in _read(home)}
    names = ", ".join(moved_sessions.aside(home / folder).name for folder in FOLDERS if folder in found)
    return f"the texts of memory and persona in {home}, which are kept in {names}" if found else None


def put_in_place(home: Path) -> None:
    """What `take_texts` wrote becomes the home's; what was there is put aside."""
    for folder in FOLDERS:
        moved_sessions.put_in_place(home / folder)


def remove_building(home: Path) -> None:
    for folder in FOLDERS:
        moved_sessions.remove_building(home / folder)


def _write(home: Path, name: PurePosixPath, text: str, changed_ms: int) -> None:
    if name.parts[0] not in FOLDERS or ".." in name.parts or name.is_absolute():
        raise StoreError(f"the cluster's store has a text with the name {name}", next_step="remove that row")
    path = moved_sessions.building_of(home / name.parts[0]).joinpath(*name.parts[1:])
    make_folders(path.parent)
    replace_file(path, text.encode())
    os.utime(path, ns=(changed_ms * 10**6, changed_ms * 10**6))


def _read(home: Path) -> Iterator[tuple[str, str, int]]:
    """Each text's name, its words, and when it was changed."""
    for folder in FOLDERS:
        for path in sorted((home / folder).rglob("*")):
            name = path.relative_to(home)
            is_text = path.suffix == ".md" or path.name == _MARKS
            if not is_text or _VERSIONS in name.parts or len(name.parts) > _MAX_DEPTH + 1:
                continue
            if any(one.is_symlink() for one in (path, *path.parents[: len(name.parts) - 1])) or not path.is_file():
                continue
            try:
                stat = path.stat()
                if stat.st_size > _MAX_BYTES:
                    raise StoreError(f"{path} has more than {_MAX_BYTES >> 20} MB", next_step="make it shorter")
                text = path.read_bytes().decode(errors="replace").replace("\r\n", "\n")
                yield name.as_posix(), text, stat.st_mtime_ns // 10**6
            except OSError as exc:
                raise StoreError(
                    f"{path} cannot be read: {exc.strerror}", next_step="check its owner and mode"
                ) from exc
