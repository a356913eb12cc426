"""Messages taken in, and their ends. Plain rows; it knows no channel and no turn.

A message is `waiting` until it is answered, `joined` while it is part of another message's turn, `answered` once its
answer is in the outbox, and `kept` when the conversation holds that answer too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from microclaw.store.database import Database
from microclaw.store.outbox import DAY_MS, KEEP_DAYS, KEEP_ROWS, NewOutbound, insert_outbound
from microclaw.store.rows import Table, columns, insert, select


@dataclass(frozen=True, slots=True)
class AttachmentRow:
    kind: str
    media_type: str
    name: str | None
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewMessage:
    channel: str
    chat_id: str
    key: str | None
    person_id: str = field(metadata={"column": "principal"})
    device: str | None
    text: str
    origin: str
    attachments: tuple[AttachmentRow, ...] = field(default=(), metadata={"column": None})


@dataclass(frozen=True, slots=True)
class InboxRow:
    """`starts` counts the turns that were begun for it: more than one after a crash."""

    message_id: int
    message: NewMessage
    received_ms: int
    starts: int


@dataclass(frozen=True, slots=True)
class UnsavedAnswer:
    """An answer in the outbox that the conversation may lack, and the messages that it answers, in order."""

    messages: tuple[InboxRow, ...]
    body: str


class InboxTable(Table):
    """Every write is on the disk when it returns."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        super().__init__(database)
        self._now_ms = now_ms

    async def add(self, message: NewMessage, *, begun: bool = False) -> tuple[InboxRow, bool]:
        """The message's row, and whether it was there already under its key. `begun` counts a start of its turn."""
        now_ms = self._now_ms()
        return await self._database.write(lambda connection: _add(connection, message, now_ms, int(begun)))

    async def has(self, channel: str, key: str) -> bool:
        query = "SELECT 1 FROM inbox WHERE channel = ? AND key = ?"
        return await self._database.read(lambda c: c.execute(query, (channel, key)).fetchone() is not None)

    async def begin(self, message_id: int) -> None:
        """Count a start of its turn."""
        await self._execute("UPDATE inbox SET starts = starts + 1 WHERE message_id = ?", (message_id,))

    async def unanswered(self) -> tuple[InboxRow, ...]:
        """Oldest first, without those that have joined another's turn."""
        return await self._database.read(lambda connection: _rows(connection, "state = 'waiting'", ()))

    async def joined(self, message_id: int) -> tuple[InboxRow, ...]:
        """The messages that became part of this one's turn, oldest first."""
        where = "state = 'joined' AND joined = ?"
        return await self._database.read(lambda connection: _rows(connection, where, (message_id,)))

    async def answer(self, message_id: int, outbound: NewOutbound) -> int:
        """Put the answer into the outbox and forget the turn's rows, in one step; returns the outbound's number."""
        now_ms = self._now_ms()
        return await self._database.write(lambda connection: _answer(connection, message_id, outbound, now_ms))

    def kept(self, message_id: int) -> None:
        """The conversation holds the answer. The note goes with the next write: after a crash that loses it, the
        answer is among the `unsaved` ones, and still the last of its conversation."""
        self._database.write_later(lambda connection: _kept(connection, message_id))

    async def unsaved(self) -> tuple[UnsavedAnswer, ...]:
        """Answers that a crash may have kept out of their conversations, oldest first."""
        return await self._database.read(_unsaved)

    async def prune(self, *, days: int = KEEP_DAYS, rows: int = KEEP_ROWS) -> int:
        """Forget finished messages that are older, or beyond the newest `rows`; returns how many."""
        before_ms = self._now_ms() - days * DAY_MS
        return await self._database.write(lambda connection: _prune(connection, before_ms, rows))


def end_unanswered(connection: sqlite3.Connection) -> int:
    """To be done once to a store from a backup: what waited when it was made may be done since, and is not done again.

    Returns how many messages get no answer.
    """
    waiting = "state IN ('waiting', 'joined')"
    connection.execute("DELETE FROM turn_rows")
    connection.execute(
        f"DELETE FROM inbox_attachments WHERE message_id IN (SELECT message_id FROM inbox WHERE {waiting})"  # noqa: S608 - constants
    )
    return connection.execute(f"UPDATE inbox SET state = 'kept' WHERE {waiting}").rowcount  # noqa: S608 - constants


def _add(connection: sqlite3.Connection, message: NewMessage, now_ms: int, starts: int) -> tuple[InboxRow, bool]:
    if message.key is not None:
        known = _rows(connection, "channel = ? AND key = ?", (message.channel, message.key))
        if known:
            return known[0], True
    message_id = insert(connection, "inbox", message, received_ms=now_ms, starts=starts, state="waiting")
    for position, attachment in enumerate(message.attachments):
        insert(connection, "inbox_attachments", attachment, message_id=message_id, position=position)
    return InboxRow(message_id, message, now_ms, 0), False


def _answer(connection: sqlite3.Connection, message_id: int, outbound: NewOutbound, now_ms: int) -> int:
    outbound_id = insert_outbound(connection, outbound, message_id, now_ms)
    done = "message_id = :id OR (joined = :id AND state = 'joined')"
    connection.execute(f"UPDATE inbox SET state = 'answered' WHERE {done}", {"id": message_id})  # noqa: S608 - constants
    connection.execute("DELETE FROM turn_rows WHERE message_id = ?", (message_id,))
    return outbound_id


def _kept(connection: sqlite3.Connection, message_id: int) -> None:
    done = "(message_id = :id OR joined = :id) AND state = 'answered'"
    connection.execute(
        f"DELETE FROM inbox_attachments WHERE message_id IN (SELECT message_id FROM inbox WHERE {done})",  # noqa: S608 - constants
        {"id": message_id},
    )
    connection.execute(f"UPDATE inbox SET state = 'kept' WHERE {done}", {"id": message_id})  # noqa: S608 - constants


def _unsaved(connection: sqlite3.Connection) -> tuple[UnsavedAnswer, ...]:
    found = []
    for row in _rows(connection, "state = 'answered' AND joined IS NULL", ()):
        joined = _rows(connection, "state = 'answered' AND joined = ?", (row.message_id,))
        body = connection.execute("SELECT body FROM outbox WHERE message_id = ?", (row.message_id,)).fetchone()
        if body is not None:
            found.append(UnsavedAnswer((row, *joined), body[0]))
    return tuple(found)


def _prune(connection: sqlite3.Connection, before_ms: int, rows: int) -> int:
    connection.execute("UPDATE inbox SET joined = NULL WHERE joined IS NOT NULL AND state = 'kept'")  # may go alone
    return connection.execute(
        """DELETE FROM inbox WHERE state = 'kept' AND (received_ms < ?
            OR message_id <= (SELECT max(message_id) FROM inbox) - ?)
            AND message_id NOT IN (SELECT joined FROM inbox WHERE joined IS NOT NULL AND state != 'kept')""",
        (before_ms, rows),
    ).rowcount


def _rows(connection: sqlite3.Connection, where: str, values: Sequence[object]) -> tuple[InboxRow, ...]:
    found = connection.execute(
        f"""SELECT message_id, received_ms, starts, {columns(NewMessage)}
        FROM inbox WHERE {where} ORDER BY message_id""",  # noqa: S608 - constants of this file
        tuple(values),
    ).fetchall()
    rows = []
    for message_id, received_ms, starts, *message in found:
        whole = replace(NewMessage(*message), attachments=_attachments(connection, message_id))
        rows.append(InboxRow(message_id, whole, received_ms, starts))
    return tuple(rows)


def _attachments(connection: sqlite3.Connection, message_id: int) -> tuple[AttachmentRow, ...]:
    return select(connection, AttachmentRow, "inbox_attachments WHERE message_id = ? ORDER BY position", (message_id,))
