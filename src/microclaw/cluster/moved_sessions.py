"""Conversations on their way into a cluster's store, which has them as rows, and back into a host's files."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from microclaw.durable import make_folders, replace_file, sync_folder
from microclaw.errors import StoreError
from microclaw.store.session_table import append_lines
from microclaw.store.sessions import MAX_SUMMARY_BYTES, SUMMARY, message_line, parse_session
from microclaw.store.sqlite_file import connect, upgrade

TABLES: Final = ("sessions", "session_messages")
_BACK: Final = ".back"
_REPLACED: Final = ".replaced"


@dataclass(frozen=True, slots=True)
class _Conversation:
    name: str
    lines: tuple[tuple[int, str], ...]
    changed_ms: int
    summary: str


def count_files(folder: Path) -> dict[str, int]:
    """How many rows the conversations of a host's files make, by table."""
    messages = [len(one.lines) for one in _read(folder)]
    return dict(zip(TABLES, (len(messages), sum(messages)), strict=True)) if messages else {}


def put_files(folder: Path, store: Path) -> None:
    """Put the conversations of a host's files into a store that no host uses, and the index of notes out of it: each
    host of a cluster makes its own."""
    with closing(connect(store)) as connection:
        upgrade(connection, store)
        connection.execute("BEGIN IMMEDIATE")
        for one in _read(folder):
            append_lines(connection, one.name, one.lines, one.changed_ms)
            connection.execute("UPDATE sessions SET summary = ? WHERE name = ?", (one.summary, one.name))
        connection.execute("INSERT INTO notes_words (notes_words) VALUES ('delete-all')")
        for table in ("notes", "note_files", "note_people"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours
        connection.execute("COMMIT")


def take_files(connection: sqlite3.Connection, folder: Path) -> None:
    """Write the conversations of a store beside `folder`, for `put_in_place`, and take them out of it."""
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not there.issuperset(TABLES):
        return  # of an older microclaw
    building = building_of(folder)
    remove_building(folder)
    rows = connection.execute("SELECT name, changed_ms, summary FROM sessions").fetchall()
    query = "SELECT line FROM session_messages WHERE name = ? ORDER BY at_s, adopted DESC, number"
    make_folders(building)
    for name, changed_ms, summary in rows:
        path = building / f"{name}.jsonl"
        replace_file(path, b"".join(line.encode() + b"\n" for (line,) in connection.execute(query, (name,))))
        os.utime(path, ns=(changed_ms * 10**6, changed_ms * 10**6))
        if summary:
            replace_file(building / f"{name}{SUMMARY}", summary.encode())
    for table in TABLES:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours


def replaced(folder: Path) -> str | None:
    """What of the conversations in `folder` would be put aside; None without any."""
    if not any(folder.glob("*.jsonl")):
        return None
    return f"the conversations in {folder}, which are kept in {aside(folder).name}"


def put_in_place(folder: Path) -> None:
    """What `take_files` wrote becomes `folder`; what was there is put aside."""
    building = building_of(folder)
    if not building.is_dir():
        return
    if folder.exists():
        folder.replace(aside(folder))
    building.replace(folder)
    sync_folder(folder.parent)


def remove_building(folder: Path) -> None:
    building = building_of(folder)
    if building.exists():
        shutil.rmtree(building)


def building_of(folder: Path) -> Path:
    """Where what becomes `folder` is written first."""
    return _named(folder, _BACK)


def aside(folder: Path) -> Path:
    """A name that nothing has: what was put aside before is never lost."""
    names = (f"{_REPLACED}{number or ''}" for number in itertools.count())
    return next(path for path in (_named(folder, name) for name in names) if not path.exists())


def _named(folder: Path, ending: str) -> Path:
    return folder.with_name(folder.name + ending)


def _read(folder: Path) -> Iterator[_Conversation]:
    """Those with a message in them."""
    for path in sorted(folder.glob("*.jsonl")):
        if path.is_symlink() or not path.is_file():
            continue
        try:
            messages, _ = parse_session(path.read_bytes())
            beside = path.with_name(path.stem + SUMMARY)
            summary = beside.read_bytes()[:MAX_SUMMARY_BYTES].decode(errors="replace") if beside.is_file() else ""
            changed_ms = path.stat().st_mtime_ns // 10**6
        except OSError as exc:
            raise StoreError(f"{path} cannot be read: {exc.strerror}", next_step="check its owner and mode") from exc
        if messages:
            lines = tuple((one.ts, message_line(one).decode()) for one in messages)
            yield _Conversation(path.stem, lines, changed_ms, summary)
