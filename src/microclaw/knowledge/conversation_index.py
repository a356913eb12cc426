"""Reads conversations for the index. It writes nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.store.notes import NewNote, NoteFile
from microclaw.store.sessions import OWNER, Sessions, parse_message
from microclaw.text import encodable

PIECE_ROWS: Final = 500
MAX_ROW_CHARS: Final = 2000
SESSIONS: Final = "sessions/"

SourceKind: TypeAlias = Literal["memory", "note", "device", "session"]


class Source(Struct, frozen=True):
    """A text or conversation for the index, as it is now. `name` is the path of a text below the home folder.

    `person` wrote the lines that name nobody.
    """

    name: str
    kind: SourceKind
    person: str
    mtime_ns: int
    size_bytes: int


def source_name(session: str) -> str:
    """A conversation's name in the index."""
    return f"{SESSIONS}{session}.jsonl"


async def listed(sessions: Sessions) -> list[Source]:
    """Every conversation."""
    return [
        Source(source_name(one.name), "session", OWNER, round(one.changed_s * 1000) * 1_000_000, one.size_bytes)
        for one in await sessions.list()
    ]


async def pieces(
    sessions: Sessions, source: Source, known: NoteFile | None
) -> AsyncGenerator[tuple[NoteFile, list[NewNote], bool], None]:
    """The rows that `known` has not, in pieces. True: all rows before must be dropped.

    What is read is known by its last row's number. No row is changed, and none is removed without all others.
    """
    name = source.name.removeprefix(SESSIONS).removesuffix(".jsonl")
    first = await sessions.lines_after(name, 0, most=1)
    begun = str(first[0][0]).encode() if first else b""
    replace = known is None or known.tail != begun  # another conversation of that name was removed
    last = 0 if known is None or replace else known.read_bytes
    while True:
        lines = await sessions.lines_after(name, last, most=PIECE_ROWS)
        last = lines[-1][0] if lines else last
        done = len(lines) < PIECE_ROWS
        stamp = (source.mtime_ns, source.size_bytes) if done else (0, 0)
        notes = [note for _, line in lines if (note := _message(line.encode())) is not None]
        yield NoteFile(source.name, *stamp, last, begun), notes, replace
        replace = False
        if done:
            return


def _message(line: bytes) -> NewNote | None:
    """The row of a conversation's line; None for a line that is no message or has no text."""
    message = parse_message(line)
    text = "" if message is None else encodable(message.content.strip()[:MAX_ROW_CHARS])
    if message is None or not text:
        return None
    own = message.role == "user" and message.tainted_s is None  # untrusted text counts as an answer
    return NewNote(encodable(message.person), "said" if own else "answered", message.ts, text)
