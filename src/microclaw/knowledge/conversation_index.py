"""Reads conversations for the index: files of a host alone, rows of a cluster's hosts. It writes nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Final

from microclaw.knowledge.memory import OWNER_ID
from microclaw.knowledge.search import MAX_ROW_CHARS, Source
from microclaw.knowledge.text_files import files_in
from microclaw.knowledge.texts import MAX_INDEXED_BYTES
from microclaw.store.notes import NewNote, NoteFile
from microclaw.store.session_table import SessionTable
from microclaw.store.sessions import parse_message
from microclaw.text import encodable

PIECE_BYTES: Final = 1 << 20  # of a file read and stored at a time
_PIECE_ROWS: Final = 500
_TAIL_BYTES: Final = 64


class ConversationFiles:
    """The JSON lines files of a folder."""

    is_shared = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def listed(self) -> list[Source]:
        return await asyncio.to_thread(self._list)

    async def pieces(
        self, source: Source, known: NoteFile | None
    ) -> AsyncGenerator[tuple[NoteFile, list[NewNote], bool], None]:
        found = read_session(source, known)
        while (piece := await asyncio.to_thread(next, found, None)) is not None:
            yield piece

    def _list(self) -> list[Source]:
        return [_source(entry) for entry in files_in(self._folder, ".jsonl", MAX_INDEXED_BYTES)]


def _source(entry: os.DirEntry[str]) -> Source:
    found = entry.stat(follow_symlinks=False)
    name = f"sessions/{entry.name}"
    return Source(name, Path(entry.path), "session", OWNER_ID, found.st_mtime_ns, found.st_size)


class SharedConversations:
    """The rows of the store that a cluster's hosts share. What is read of one is known by its last row's number."""

    is_shared = True

    def __init__(self, table: SessionTable) -> None:
        self._table = table

    async def listed(self) -> list[Source]:
        return [
            Source(
                name := f"sessions/{one.name}.jsonl",
                Path(name),
                "session",
                OWNER_ID,
                round(one.changed_s * 1000) * 1_000_000,
                one.size_bytes,
            )
            for one in await self._table.list()
        ]

    async def pieces(
        self, source: Source, known: NoteFile | None
    ) -> AsyncGenerator[tuple[NoteFile, list[NewNote], bool], None]:
        """From the row on behind the last one known. No row is changed, and none is removed without all others."""
        name = source.path.stem
        first = await self._table.rows_after(name, 0, most=1)
        begun = str(first[0].number).encode() if first else b""
        replace = known is None or known.tail != begun  # another conversation of that name was removed
        last = 0 if known is None or replace else known.read_bytes
        while True:
            rows = await self._table.rows_after(name, last, most=_PIECE_ROWS)
            last = rows[-1].number if rows else last
            done = len(rows) < _PIECE_ROWS
            stamp = (source.mtime_ns, source.size_bytes) if done else (0, 0)
            notes = [note for row in rows if (note := _message(row.line.encode(), source.person)) is not None]
            yield NoteFile(source.name, *stamp, last, begun), notes, replace
            replace = False
            if done:
                return


def read_session(source: Source, known: NoteFile | None) -> Iterator[tuple[NoteFile, list[NewNote], bool]]:
    """The new rows of a conversation, in pieces. True means that all rows before must be dropped.

    It reads only whole lines, from the end of the last reading on; from the beginning when the file became shorter or
    the bytes before that position changed.
    """
    with source.path.open("rb") as file:
        start = _resumable(file.fileno(), source, known)
        replace = start == 0
        while start < source.size_bytes:
            piece = os.pread(file.fileno(), min(PIECE_BYTES, source.size_bytes - start), start)
            end = piece.rfind(b"\n") + 1
            if not end and len(piece) == PIECE_BYTES:
                end = len(piece)  # a line of more than a piece: no message of ours
            rows = [row for line in piece[:end].split(b"\n") if (row := _message(line, source.person)) is not None]
            start += end
            done = not end or start >= source.size_bytes
            tail = os.pread(file.fileno(), min(_TAIL_BYTES, start), max(0, start - _TAIL_BYTES))
            stamp = (source.mtime_ns, source.size_bytes) if done else (0, 0)
            yield NoteFile(source.name, *stamp, start, tail), rows, replace
            replace = False
            if done:
                return
        if replace:
            yield NoteFile(source.name, source.mtime_ns, source.size_bytes, 0, b""), [], True


def _resumable(fd: int, source: Source, known: NoteFile | None) -> int:
    if known is None or known.read_bytes > source.size_bytes or not known.read_bytes:
        return 0
    tail = os.pread(fd, len(known.tail), known.read_bytes - len(known.tail))
    return known.read_bytes if tail == known.tail and known.read_bytes < source.size_bytes else 0


def _message(line: bytes, owner: str) -> NewNote | None:
    """The row of a conversation's line; None for a line that is no message or has no text."""
    message = parse_message(line, owner)
    text = "" if message is None else encodable(message.content.strip()[:MAX_ROW_CHARS])
    if message is None or not text:
        return None
    own = message.role == "user" and message.tainted_s is None  # untrusted text counts as an answer
    return NewNote(encodable(message.person), "said" if own else "answered", message.ts, text)
