"""Conversations as rows: a line of JSON for each message, in MimiClaw's format. Knows no turn and no model.

Only what the person said and the final answers are kept. A line of another person's than the owner's has the person's
id, and one with untrusted text is marked: fields that MimiClaw does not read. `at_s` orders the lines: the message's
time, or that of the row before it where a host's clock is behind. The numbers of rows only grow, so that an index reads
on from the last one that it has.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from urllib.parse import quote, unquote

from microclaw.errors import UnknownName
from microclaw.store.database import Database
from microclaw.store.following import Refresh
from microclaw.store.journal import Work
from microclaw.store.rows import Table
from microclaw.store.sql import Sql

Role: TypeAlias = Literal["user", "assistant"]

OWNER: Final = "owner"
DEFAULT_NEWEST: Final = 40
TAIL_BYTES: Final = 4 * 1024 * 1024  # no more than this is loaded
_MAX_STEM_CHARS: Final = 120
MAX_SUMMARY_BYTES: Final = 64 * 1024
_CHANNEL: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_LATEST_S: Final = 1 << 60  # what a foreign file says may be any number


@dataclass(frozen=True, slots=True)
class SessionMessage:
    """`ts` is in whole seconds since 1970, as MimiClaw writes it; `person` is whose turn it was part of.

    `tainted_s` is when the untrusted text was read that this one is or may repeat; `question` is what the offline
    dialogue asked with it and did last, as JSON of its own.
    """

    role: Role
    content: str
    ts: int
    person: str = OWNER
    tainted_s: int | None = None
    question: str | None = None


@dataclass(frozen=True, slots=True)
class SessionEntry:
    """A conversation in the list: `name` as `session_name` makes it, `changed_s` when it was last written to."""

    name: str
    size_bytes: int
    changed_s: float = field(metadata={"column": "changed_ms", "read": lambda changed_ms: changed_ms / 1000})


class Sessions(Table):
    """The conversations. A `name` is one as `list` gives it, or its chat alone: UnknownName. `now_ms` is the time of
    day."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        super().__init__(database)
        self._now_ms = now_ms

    async def append(self, channel: str, chat_id: str, messages: Sequence[SessionMessage]) -> None:
        """Add messages to a conversation; all of them are kept when this returns."""
        await self._database.write(self.appending(channel, chat_id, messages))

    def appending(self, channel: str, chat_id: str, messages: Sequence[SessionMessage]) -> Work:
        """What adds them inside a transaction."""
        name, now_ms = session_name(channel, chat_id), self._now_ms()
        return lambda connection: append_messages(connection, name, messages, now_ms)

    async def load(self, channel: str, chat_id: str, newest: int = DEFAULT_NEWEST) -> tuple[SessionMessage, ...]:
        """The newest messages, oldest first; none for a conversation that never was."""
        return await self._load(session_name(channel, chat_id), newest)

    async def list(self) -> tuple[SessionEntry, ...]:
        """Every conversation, the one written to last first."""
        return await self._select(SessionEntry, "sessions ORDER BY changed_ms DESC, name")

    async def show(self, name: str, newest: int = DEFAULT_NEWEST) -> tuple[SessionMessage, ...]:
        """The newest messages of the conversation of that name."""
        return await self._load(await self.full_name(name), newest)

    async def empty(self, name: str) -> None:
        """Forget what was said in the conversation of that name; it is still listed."""
        full = await self.full_name(name)
        await self._database.write(lambda connection: _empty(connection, full))

    async def remove(self, name: str) -> None:
        """Forget the conversation of that name, and its summary."""
        full = await self.full_name(name)
        await self._database.write(lambda connection: _remove(connection, full))

    async def full_name(self, name: str) -> str:
        """As `list` gives it, of that or of its chat alone: "terminal" of terminal_terminal."""
        return chosen_name(name, [one.name for one in await self.list()])

    async def summary(self, channel: str, chat_id: str) -> str:
        """What `keep_summary` kept; "" for nothing."""
        name = session_name(channel, chat_id)
        query = "SELECT summary FROM sessions WHERE name = ?"
        row = await self._database.read(lambda connection: connection.execute(query, (name,)).fetchone())
        return "" if row is None else str(row[0])

    async def keep_summary(self, channel: str, chat_id: str, text: str) -> None:
        """Keep a summary (agent/compaction.py) of the conversation. It goes with it."""
        name = session_name(channel, chat_id)
        await self._database.write(lambda connection: put_summary(connection, name, text))

    async def lines_after(self, name: str, number: int, *, most: int) -> Sequence[tuple[int, str]]:
        """The lines behind that number, with their own, in their order, for an index."""
        query = "SELECT number, line FROM session_messages WHERE name = ? AND number > ? ORDER BY number LIMIT ?"
        return await self._database.read(lambda connection: connection.execute(query, (name, number, most)).fetchall())

    def follow_removals(self, refresh: Refresh) -> None:
        """Run `refresh` when another host removed a conversation."""
        self._database.follow(("session_removals",), refresh)

    async def _load(self, name: str, newest: int) -> tuple[SessionMessage, ...]:
        lines = await self._database.read(lambda connection: _newest_lines(connection, name, newest))
        found = [parse_message(line.encode()) for line in lines]
        return tuple(message for message in found if message is not None)


def session_name(channel: str, chat_id: str) -> str:
    """A conversation's name: ASCII, a file's on every system, never shared by two chat ids."""
    if not _CHANNEL.fullmatch(channel):
        raise ValueError(f"not a channel's name: {channel!r}")
    name = f"{channel}_{quote(chat_id, safe='', errors='surrogatepass')}"
    if len(name) > _MAX_STEM_CHARS:
        digest = hashlib.sha256(chat_id.encode(errors="surrogatepass")).hexdigest()
        name = f"{name[: _MAX_STEM_CHARS - 65]}%{digest}"  # a bare '%' is in no quoted name
    return name


def chosen_name(name: str, known: Sequence[str]) -> str:
    """The one of the `known` that is meant, by itself or by its chat alone. UnknownName."""
    chats = [one for one in known if name and unquote(one.partition("_")[2]) == name]
    found = [one for one in known if one == name] or chats
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownName(f"{len(found)} conversations are {name[:80]!r}", next_step=f"name one of {', '.join(found)}")
    near = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.3))
    hint = f"did you mean {near}? " if near else ""
    raise UnknownName(f"there is no conversation {name[:80]!r}", next_step=f"{hint}see: microclaw session list")


def message_line(message: SessionMessage) -> bytes:
    """As JSON in ASCII, without the line's end."""
    fields: dict[str, str | int] = {"role": message.role, "content": message.content, "ts": message.ts}
    if message.person != OWNER:
        fields["person"] = message.person
    if message.tainted_s is not None:
        fields["foreign"] = message.tainted_s
    if message.question is not None:
        fields["question"] = message.question
    return json.dumps(fields, separators=(",", ":")).encode()


def parse_message(line: bytes, owner: str = OWNER) -> SessionMessage | None:
    """The message of a line, or None: other programs write these files too, and one bad line must not lose the rest."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    role, content, ts, person = value.get("role"), value.get("content"), value.get("ts", 0), value.get("person", owner)
    if role not in ("user", "assistant") or not isinstance(content, str) or not isinstance(person, str):
        return None
    if isinstance(ts, float) and ts.is_integer():  # as MimiClaw's JSON library writes large numbers
        ts = int(ts)
    if not isinstance(ts, int):
        return None
    tainted_s, question = value.get("foreign"), value.get("question")
    return SessionMessage(
        role,
        content,
        ts,
        person,
        tainted_s if isinstance(tainted_s, int) else None,
        question if isinstance(question, str) else None,
    )


def append_messages(connection: Sql, name: str, messages: Sequence[SessionMessage], now_ms: int) -> None:
    """Add messages behind those that the conversation has."""
    if not messages:
        return
    lines = [message_line(message).decode() for message in messages]
    connection.execute(
        """INSERT INTO sessions (name, size_bytes, changed_ms) VALUES (?, ?, ?) ON CONFLICT (name)
        DO UPDATE SET size_bytes = sessions.size_bytes + excluded.size_bytes,
        changed_ms = CASE WHEN sessions.changed_ms < excluded.changed_ms THEN excluded.changed_ms
        ELSE sessions.changed_ms END""",
        (name, sum(len(line) + 1 for line in lines), now_ms),
    )
    (at_s,) = connection.execute("SELECT max(at_s) FROM session_messages WHERE name = ?", (name,)).fetchone()
    for message, line in zip(messages, lines, strict=True):
        ts = max(-_LATEST_S, min(message.ts, _LATEST_S))
        at_s = ts if at_s is None else max(at_s, ts)
        query = "INSERT INTO session_messages (name, at_s, adopted, line) VALUES (?, ?, 0, ?)"
        connection.execute(query, (name, at_s, line))


def put_summary(connection: Sql, name: str, text: str) -> None:
    kept = text.encode(errors="replace")[:MAX_SUMMARY_BYTES].decode(errors="ignore")
    connection.execute("UPDATE sessions SET summary = ? WHERE name = ?", (kept, name))


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


def _empty(connection: Sql, name: str) -> None:
    connection.execute("DELETE FROM session_messages WHERE name = ?", (name,))
    connection.execute("UPDATE sessions SET size_bytes = 0, summary = '' WHERE name = ?", (name,))


def _remove(connection: Sql, name: str) -> None:
    _empty(connection, name)
    connection.execute("DELETE FROM sessions WHERE name = ?", (name,))
    connection.execute(
        """INSERT INTO session_removals (one, number) VALUES (1, 1)
        ON CONFLICT (one) DO UPDATE SET number = session_removals.number + 1"""
    )
