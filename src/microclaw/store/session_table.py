"""Conversations as rows of the store that the hosts of a cluster share: as files (store/sessions.py), for all hosts.

A row is a line as the file has it. `at_s` orders them: the message's time, or that of the row before it where a host's
clock is behind. The numbers of rows only grow, so that an index reads on from the last one that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from microclaw.store.database import Database
from microclaw.store.following import Refresh
from microclaw.store.sessions import (
    DEFAULT_NEWEST,
    MAX_SUMMARY_BYTES,
    TAIL_BYTES,
    SessionEntry,
    SessionMessage,
    chosen_name,
    message_line,
    parse_message,
    session_name,
)
from microclaw.store.sql import Sql

_LATEST_S: Final = 1 << 60  # what a foreign file says may be any number


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A message's line and its number."""

    number: int
    line: str


class SessionTable:
    """`microclaw.store.sessions.Sessions` of a database. `now_ms` is the time of day."""

    is_shared = True

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    async def append(self, channel: str, chat_id: str, messages: Sequence[SessionMessage]) -> None:
        await self._database.write(self.appending(channel, chat_id, messages))

    def appending(self, channel: str, chat_id: str, messages: Sequence[SessionMessage]) -> Callable[[Sql], None]:
        name, now_ms = session_name(channel, chat_id), self._now_ms()
        lines = [(message.ts, message_line(message).decode()) for message in messages]
        return lambda connection: append_lines(connection, name, lines, now_ms)

    async def load(self, channel: str, chat_id: str, newest: int = DEFAULT_NEWEST) -> tuple[SessionMessage, ...]:
        return await self._load(session_name(channel, chat_id), newest)

    async def clear(self, channel: str, chat_id: str) -> bool:
        return await self._remove(session_name(channel, chat_id))

    async def list(self) -> tuple[SessionEntry, ...]:
        query = "SELECT name, size_bytes, changed_ms FROM sessions ORDER BY changed_ms DESC, name"
        rows = await self._database.read(lambda connection: connection.execute(query).fetchall())
        return tuple(SessionEntry(name, size_bytes, changed_ms / 1000) for name, size_bytes, changed_ms in rows)

    async def show(self, name: str, newest: int = DEFAULT_NEWEST) -> tuple[SessionMessage, ...]:
        return await self._load(await self.full_name(name), newest)

    async def remove(self, name: str) -> None:
        await self._remove(await self.full_name(name))

    async def full_name(self, name: str) -> str:
        return chosen_name(name, [one.name for one in await self.list()])

    async def summary(self, channel: str, chat_id: str) -> str:
        name = session_name(channel, chat_id)
        query = "SELECT summary FROM sessions WHERE name = ?"
        row = await self._database.read(lambda connection: connection.execute(query, (name,)).fetchone())
        return "" if row is None else str(row[0])

    async def keep_summary(self, channel: str, chat_id: str, text: str) -> None:
        name = session_name(channel, chat_id)
        kept = text.encode(errors="replace")[:MAX_SUMMARY_BYTES].decode(errors="ignore")
        query = "UPDATE sessions SET summary = ? WHERE name = ?"
        await self._database.write(lambda connection: connection.execute(query, (kept, name)))

    async def rows_after(self, name: str, number: int, *, most: int) -> tuple[SessionRow, ...]:
        """The rows behind that one in the order of their numbers, for an index."""
        query = "SELECT number, line FROM session_messages WHERE name = ? AND number > ? ORDER BY number LIMIT ?"
        rows = await self._database.read(lambda connection: connection.execute(query, (name, number, most)).fetchall())
        return tuple(SessionRow(*row) for row in rows)

    def follow_removals(self, refresh: Refresh) -> None:
        """Run `refresh` when another host removed a conversation."""
        self._database.follow(("session_removals",), refresh)

    async def _load(self, name: str, newest: int) -> tuple[SessionMessage, ...]:
        lines = await self._database.read(lambda connection: _newest_lines(connection, name, newest))
        found = [parse_message(line.encode()) for line in lines]
        return tuple(message for message in found if message is not None)

    async def _remove(self, name: str) -> bool:
        return await self._database.write(lambda connection: _remove(connection, name))


def append_lines(connection: Sql, name: str, lines: Sequence[tuple[int, str]], now_ms: int) -> None:
    """Add lines with their times behind those that the conversation has."""
    if not lines:
        return
    last = connection.execute("SELECT max(at_s) FROM session_messages WHERE name = ?", (name,)).fetchone()[0]
    _count(connection, name, lines, now_ms)
    for ts, line in lines:
        last = _bounded(ts) if last is None else max(last, _bounded(ts))
        _insert(connection, name, last, line)


def _count(connection: Sql, name: str, lines: Sequence[tuple[int, str]], now_ms: int) -> None:
    size_bytes = sum(len(line) + 1 for _, line in lines)
    connection.execute(
        """INSERT INTO sessions (name, size_bytes, changed_ms) VALUES (:name, :size, :now) ON CONFLICT (name)
        DO UPDATE SET size_bytes = sessions.size_bytes + :size,
            changed_ms = CASE WHEN sessions.changed_ms < :now THEN :now ELSE sessions.changed_ms END""",
        {"name": name, "size": size_bytes, "now": now_ms},
    )


def _insert(connection: Sql, name: str, at_s: int, line: str) -> None:
    connection.execute(
        "INSERT INTO session_messages (name, at_s, adopted, line) VALUES (?, ?, 0, ?)", (name, at_s, line)
    )


def _newest_lines(connection: Sql, name: str, newest: int) -> list[str]:
    """Oldest first, and no more than is read of a file's end."""
    found: list[str] = []
    size = 0
    rows = connection.execute(
        "SELECT line FROM session_messages WHERE name = ? ORDER BY at_s DESC, adopted, number DESC LIMIT ?",
        (name, newest),
    )
    for (line,) in rows:
        size += len(line) + 1
        if found and size > TAIL_BYTES:
            break
        found.append(line)
    return found[::-1]


def _remove(connection: Sql, name: str) -> bool:
    connection.execute("DELETE FROM session_messages WHERE name = ?", (name,))
    if not connection.execute("DELETE FROM sessions WHERE name = ?", (name,)).rowcount:
        return False
    connection.execute(
        """INSERT INTO session_removals (one, number) VALUES (1, 1) ON CONFLICT (one)
        DO UPDATE SET number = session_removals.number + 1"""
    )
    return True


def _bounded(ts: int) -> int:
    return max(-_LATEST_S, min(ts, _LATEST_S))
