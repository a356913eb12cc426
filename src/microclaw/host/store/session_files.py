"""Moves the conversations of a home of microclaw 0.1.0, which were files, into the store. It writes no file."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Final

from microclaw.durable import read_limited, sync_folder
from microclaw.errors import StoreError
from microclaw.host.store.database import Database
from microclaw.host.store.notes import drop_notes
from microclaw.host.store.sessions import MAX_SUMMARY_BYTES, append_messages, message_line, parse_message, put_summary
from microclaw.host.store.sql import Sql

SUMMARY: Final = ".summary.json"
_log = logging.getLogger(__name__)


async def move_files(folder: Path, database: Database) -> None:
    """Move each file's messages into the store, then delete the file. Raises StoreError.

    A link is left in its place.
    """
    try:
        for path in await asyncio.to_thread(_files, folder):
            await database.write(partial(_move, path=path))
            await asyncio.to_thread(_remove, path)
    except OSError as exc:
        raise StoreError(
            f"the conversations in {folder} cannot be moved into the store: {exc.strerror or exc}",
            next_step="check the owner and permissions of its files",
        ) from exc


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jsonl") if path.is_file() and not path.is_symlink())


def _remove(path: Path) -> None:
    path.with_name(path.stem + SUMMARY).unlink(missing_ok=True)
    path.unlink()
    sync_folder(path.parent)


def _move(sql: Sql, path: Path) -> None:
    """Add a file's messages, unless an earlier start did so and ended before it could delete the file."""
    lines = path.read_bytes().split(b"\n")
    messages = list(filter(None, map(parse_message, lines)))
    if len(messages) < sum(bool(line.strip()) for line in lines):
        _log.warning("%s: lines that are no messages were passed over", path.name)
    query = "SELECT line FROM session_messages WHERE name = ? ORDER BY number LIMIT ?"
    stored_lines = [line for (line,) in sql.execute(query, (path.stem, len(messages)))]
    if stored_lines == list(map(message_line, messages)):
        return
    append_messages(sql, path.stem, messages, path.stat().st_mtime_ns // 1_000_000)
    _move_summary(sql, path)
    drop_notes(sql, [f"sessions/{path.name}"])


def _move_summary(sql: Sql, path: Path) -> None:
    summary = path.with_name(path.stem + SUMMARY)
    if summary.is_file():
        data = read_limited(summary, MAX_SUMMARY_BYTES)
        if data is not None:
            put_summary(sql, path.stem, data.decode(errors="replace"))
