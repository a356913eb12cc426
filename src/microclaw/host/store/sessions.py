"""Conversations as rows: a line of JSON for each message, in MimiClaw's format. Knows no turn and no model.

Only the person's messages, the final answers and notes for the model are stored. A line of a person other than the
owner has the person's id, and a line with untrusted text is marked: MimiClaw does not read these fields, nor the
notes. `at_s` orders the lines: it is the message's time, or the time of the row before it if a host's clock is behind.
The numbers of rows only grow, so that an index can continue after the last row that it has.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct, ValidationError, to_builtins

from microclaw.conversion import convert
from microclaw.errors import UnknownName
from microclaw.host.store.journal import Work
from microclaw.host.store.rows import TimedTable, delete, exists, insert, reads, scalar, update, writes
from microclaw.host.store.sql import Sql

Role: TypeAlias = Literal["user", "assistant"]

OWNER: Final = "owner"
_OF_CHAT: Final = "channel = ? AND chat_id = ?"
_MESSAGES: Final = f"SELECT message_id FROM inbox WHERE {_OF_CHAT}"  # noqa: S608 - a constant
# The inbox's rows stay, without their text: a channel that delivers a message again must find it answered.
_FORGETTING: Final = (
    # The effects of a message's turn have its number (turn/conversation.py). An open one belongs to a running turn.
    f"""DELETE FROM effects WHERE state NOT IN ('planned', 'started')
        AND turn_id IN (SELECT 'm' || message_id FROM inbox WHERE {_OF_CHAT})""",  # noqa: S608 - constants
    f"DELETE FROM turn_rows WHERE message_id IN ({_MESSAGES})",  # noqa: S608 - constants
    f"DELETE FROM inbox_attachments WHERE message_id IN ({_MESSAGES})",  # noqa: S608 - constants
    f"UPDATE inbox SET text = '', joined = NULL, state = 'kept' WHERE {_OF_CHAT}",  # noqa: S608 - constants
    f"DELETE FROM outbox WHERE {_OF_CHAT}",  # noqa: S608 - constants
)
DEFAULT_NEWEST: Final = 40
# No more than this is loaded.
TAIL_BYTES: Final = 4 * 1024 * 1024
_MAX_STEM_CHARS: Final = 120
MAX_SUMMARY_BYTES: Final = 64 * 1024
_CHANNEL: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
# A foreign file may have any number as its time.
_LATEST_S: Final = 1 << 60


class SessionMessage(Struct, frozen=True, omit_defaults=True):
    """A message of a conversation. `ts` is in whole seconds since 1970, as MimiClaw writes it.

    `person` is the person whose turn it was part of. `tainted_s` is when the untrusted text was read that this message
    is or may repeat. `question` is what the offline dialogue asked with it and did last, as JSON of its own. `notes`
    are for the model of the next turns: they are not shown to people. `turn` is the number of its turn's message in the
    inbox; None in lines of other programs.
    """

    role: Role
    content: str
    ts: int
    person: str = OWNER
    tainted_s: int | None = msgspec.field(default=None, name="foreign")
    question: str | None = None
    notes: str | None = None
    turn: int | None = None


class SessionEntry(Struct, frozen=True):
    """A conversation in the list: `name` as `session_name` makes it, `changed_s` when it was last written to."""

    name: str
    size_bytes: int
    changed_s: float


class Sessions(TimedTable):
    """The conversations of one database. A `name` is from `list`, or only its chat. Raises UnknownName.

    Other hosts' removals of conversations are followed.
    """

    followed = frozenset({"session_removals"})

    async def append(self, channel: str, chat_id: str, messages: Sequence[SessionMessage]) -> None:
        """Add messages to the end of a conversation; all of them are on the disk when this returns."""
        await self.database.write(self.build_append(channel, chat_id, messages))

    def build_append(self, channel: str, chat_id: str, messages: Sequence[SessionMessage]) -> Work:
        """Build the work that adds messages inside a transaction."""
        name = session_name(channel, chat_id)
        now_ms = self._now_ms()
        return lambda sql: append_messages(sql, name, messages, now_ms)

    @reads
    def load(self, sql: Sql, channel: str, chat_id: str, newest: int = DEFAULT_NEWEST) -> tuple[SessionMessage, ...]:
        """Return the newest messages, oldest first; none for a conversation that does not exist."""
        return _newest(sql, session_name(channel, chat_id), newest)

    @reads
    def list(self, sql: Sql) -> tuple[SessionEntry, ...]:
        """Return every conversation, the last written one first."""
        rows = sql.execute("SELECT name, size_bytes, changed_ms FROM sessions ORDER BY changed_ms DESC, name")
        return tuple(SessionEntry(name, size_bytes, changed_ms / 1000) for name, size_bytes, changed_ms in rows)

    @reads
    def show(self, sql: Sql, name: str, newest: int = DEFAULT_NEWEST) -> tuple[SessionMessage, ...]:
        """Return the newest messages of the conversation of that name, oldest first."""
        return _newest(sql, _full_name(sql, name), newest)

    @writes
    def empty(self, sql: Sql, name: str) -> None:
        """Forget the messages of the conversation of that name; it is still listed."""
        _empty(sql, _full_name(sql, name))

    @writes
    def remove(self, sql: Sql, name: str) -> None:
        """Forget the conversation of that name, and its summary."""
        full_name = _full_name(sql, name)
        _empty(sql, full_name)
        delete(sql, "sessions", name=full_name)
        sql.execute(
            """INSERT INTO session_removals (one, number) VALUES (1, 1)
            ON CONFLICT (one) DO UPDATE SET number = session_removals.number + 1"""
        )

    @reads
    def chats(self, sql: Sql) -> tuple[tuple[str, str], ...]:
        """Return channel and chat id of every chat that has messages in the inbox or the outbox."""
        return tuple(sql.execute("SELECT channel, chat_id FROM inbox UNION SELECT channel, chat_id FROM outbox"))

    @reads
    def is_busy(self, sql: Sql, channel: str, chat_id: str) -> bool:
        """Return True if a message of the chat waits for its answer, at any host."""
        return exists(sql, "inbox", state="waiting", channel=channel, chat_id=chat_id)

    @writes
    def forget_chat(self, sql: Sql, channel: str, chat_id: str) -> None:
        """Forget the messages of the chat, the effects of its turns, and the unsent messages to it.

        Call this only while none of its turns waits or runs.
        """
        for statement in _FORGETTING:
            sql.execute(statement, (channel, chat_id))

    @reads
    def full_name(self, sql: Sql, name: str) -> str:
        """Return a name as `list` gives it, from itself or from its chat: "terminal" for terminal_terminal."""
        return _full_name(sql, name)

    @reads
    def summary(self, sql: Sql, channel: str, chat_id: str) -> str:
        """Return the text that `keep_summary` stored; "" if there is none."""
        return scalar(sql, "SELECT summary FROM sessions WHERE name = ?", (session_name(channel, chat_id),)) or ""

    @writes
    def keep_summary(self, sql: Sql, channel: str, chat_id: str, text: str) -> None:
        """Store a summary (agent/turn/history.py) of the conversation. It is deleted with the conversation."""
        put_summary(sql, session_name(channel, chat_id), text)

    @reads
    def lines_after(self, sql: Sql, name: str, number: int, *, most: int) -> Sequence[tuple[int, str]]:
        """Return the lines after that number, with their numbers, in order, for an index."""
        query = "SELECT number, line FROM session_messages WHERE name = ? AND number > ? ORDER BY number LIMIT ?"
        return sql.execute(query, (name, number, most)).fetchall()


def session_name(channel: str, chat_id: str) -> str:
    """Return a conversation's name: ASCII, valid as a file name on every system, never shared by two chat ids."""
    if not _CHANNEL.fullmatch(channel):
        raise ValueError(f"not a channel's name: {channel!r}")
    name = f"{channel}_{quote(chat_id, safe='', errors='surrogatepass')}"
    if len(name) > _MAX_STEM_CHARS:
        digest = hashlib.sha256(chat_id.encode(errors="surrogatepass")).hexdigest()
        # A bare '%' is in no quoted name, so no other chat has this name.
        name = f"{name[: _MAX_STEM_CHARS - 65]}%{digest}"
    return name


def match_name(name: str, known: Sequence[str]) -> str:
    """Return the known name that equals `name`, or whose chat does. Raises UnknownName if none or several match."""
    matches = [candidate for candidate in known if candidate == name]
    if not matches and name:
        matches = [candidate for candidate in known if unquote(candidate.partition("_")[2]) == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        text = f"{len(matches)} conversations are {name[:80]!r}"
        raise UnknownName(text, next_step=f"name one of {', '.join(matches)}")
    near = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.3))
    hint = f"did you mean {near}? " if near else ""
    raise UnknownName(f"there is no conversation {name[:80]!r}", next_step=f"{hint}see: microclaw memory sessions")


def message_line(message: SessionMessage) -> str:
    """Return a message as JSON in ASCII, without the line's end."""
    return json.dumps(to_builtins(message), separators=(",", ":"))


def parse_message(line: str | bytes) -> SessionMessage | None:
    """Return the message of a line, or None if it is broken.

    Other programs write these files too, and a broken line must not lose the rest.
    """
    try:
        # Not strict, because cJSON writes 5.0 for 5.
        return convert({"ts": 0, **json.loads(line)}, SessionMessage, strict=False)
    except (ValueError, TypeError, RecursionError, ValidationError):
        return None


def append_messages(sql: Sql, name: str, messages: Sequence[SessionMessage], now_ms: int) -> None:
    """Add messages to the end of a conversation."""
    if not messages:
        return
    lines = list(map(message_line, messages))
    sql.execute(
        """INSERT INTO sessions (name, size_bytes, changed_ms) VALUES (?, ?, ?) ON CONFLICT (name)
        DO UPDATE SET size_bytes = sessions.size_bytes + excluded.size_bytes,
        changed_ms = greatest(sessions.changed_ms, excluded.changed_ms)""",
        (name, sum(len(line) + 1 for line in lines), now_ms),
    )
    at_s = scalar(sql, "SELECT max(at_s) FROM session_messages WHERE name = ?", (name,))
    for message, line in zip(messages, lines, strict=True):
        ts = max(-_LATEST_S, min(message.ts, _LATEST_S))
        if at_s is None:
            at_s = ts
        else:
            at_s = max(at_s, ts)
        insert(sql, "session_messages", None, name=name, at_s=at_s, adopted=0, line=line)


def put_summary(sql: Sql, name: str, text: str) -> None:
    summary = text.encode(errors="replace")[:MAX_SUMMARY_BYTES].decode(errors="ignore")
    update(sql, "sessions", {"name": name}, summary=summary)


def _newest(sql: Sql, name: str, newest: int) -> tuple[SessionMessage, ...]:
    """Return the newest messages, oldest first, up to TAIL_BYTES of them."""
    messages: list[SessionMessage] = []
    size = 0
    rows = sql.execute(
        "SELECT line FROM session_messages WHERE name = ? ORDER BY at_s DESC, adopted, number DESC LIMIT ?",
        (name, newest),
    )
    for (line,) in rows:
        size += len(line) + 1
        if messages and size > TAIL_BYTES:
            break
        message = parse_message(line)
        if message is not None:
            messages.append(message)
    return tuple(messages[::-1])


def _full_name(sql: Sql, name: str) -> str:
    return match_name(name, [row_name for (row_name,) in sql.execute("SELECT name FROM sessions ORDER BY name")])


def _empty(sql: Sql, name: str) -> None:
    delete(sql, "session_messages", name=name)
    update(sql, "sessions", {"name": name}, size_bytes=0, summary="")
