"""Messages that the host accepted, and their ends. Plain rows; it knows no channel and no turn.

A message is `waiting` until it is answered, and `kept` once its answer is in the outbox and in the conversation.
(`answered`: microclaw 0.1.0 was killed between these two.)

In a cluster a message belongs to the host that accepted it, until another host takes it. Only its host begins and
answers its turn, and only if no older message of its chat waits at another host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import AlreadyAnswered
from microclaw.events import Attachment, Inbound
from microclaw.host.store.journal import DAY_MS, KEEP_DAYS, PRUNE_EVERY, EffectKey, Work, check_host, take_effects
from microclaw.host.store.outbox import OutboxRow
from microclaw.host.store.rows import TimedTable, columns, delete, insert, one_of, reads, scalar, select, writes
from microclaw.host.store.sql import Sql
from microclaw.text import clean_text

KEEP_ROWS: Final = 2_000
# Of the answer that counts, in the error about a second one.
MAX_SHOWN_CHARS: Final = 80

Claim: TypeAlias = Literal["begun", "waits", "gone"]
"""The result of a claim. `waits`: an older message of the chat waits at another host. `gone`: another host has it."""


class InboxMessage(Struct, frozen=True):
    """A message on the disk.

    `starts` is how many turns began for it before; it is more than 0 after a crash. `begun`: the next start is counted
    already.
    """

    message_id: int
    inbound: Inbound
    received_ms: int
    starts: int = 0
    begun: bool = False

    @property
    def sent_ms(self) -> int:
        """When it was sent; when it came in if the sender's time is unknown."""
        if self.inbound.sent_ms is None:
            return self.received_ms
        return self.inbound.sent_ms


# The condition `state != 'kept'` lets the query use the index inbox_open.
_OLDER_ELSEWHERE: Final = """SELECT 1 FROM inbox AS older
    WHERE older.state != 'kept' AND older.state = 'waiting' AND older.channel = ? AND older.chat_id = ?
    AND older.message_id < ? AND older.host IS NOT ?"""


class InboxTable(TimedTable):
    """Messages of one database. Every write is on the disk when it returns."""

    followed = frozenset({"inbox"})

    @writes
    def add(self, sql: Sql, inbound: Inbound, *, begun: bool = False) -> tuple[InboxMessage, bool]:
        """Return the message's row, and True if it was stored before under its key.

        `begun` counts a start of its turn. Raises AlreadyAnswered if it answers a question that is no longer open.
        """
        if inbound.key is not None:
            for message in _rows(sql, "channel = ? AND key = ?", (inbound.channel, inbound.key)):
                return message, True
        _check_open_question(sql, inbound)
        now_ms = self._now_ms()
        host = self.host
        # 2**62 stands for the number of the new message, which is newer than all.
        if begun and host is not None:
            begun = scalar(sql, _OLDER_ELSEWHERE, (inbound.channel, inbound.chat_id, 2**62, host)) is None
        host_columns: dict[str, Any] = {"received_ms": now_ms, "starts": int(begun), "state": "waiting", "host": host}
        message_id = insert(sql, "inbox", inbound, number="message_id", **host_columns)
        for position, attachment in enumerate(inbound.attachments):
            insert(sql, "inbox_attachments", attachment, message_id=message_id, position=position)
        return InboxMessage(message_id, inbound, now_ms, 0, begun), False

    def age_s(self, message: InboxMessage) -> float:
        """Return how long ago a message was sent."""
        return (self._now_ms() - message.sent_ms) / 1000

    @reads
    def number_of(self, sql: Sql, channel: str, key: str) -> int | None:
        """Return the number of the message with this key, or None."""
        query = "SELECT message_id FROM inbox WHERE channel = ? AND key = ?"
        number: int | None = scalar(sql, query, (channel, key))
        return number

    @reads
    def newest(self, sql: Sql, channel: str, chat_id: str) -> int:
        """Return the number of the newest message of a chat; 0 if it has none."""
        query = "SELECT max(message_id) FROM inbox WHERE channel = ? AND chat_id = ?"
        return scalar(sql, query, (channel, chat_id)) or 0

    @writes
    def claim(self, sql: Sql, message_ids: Sequence[int]) -> dict[int, Claim]:
        """Count a start of each message's turn, if it may begin now; return the results by message id."""
        return {message_id: _claim(sql, message_id, self.host) for message_id in message_ids}

    @reads
    def hosts(self, sql: Sql) -> tuple[str | None, ...]:
        """Return the hosts that have messages without an answer or effects without an end."""
        rows = sql.execute(
            """SELECT host FROM inbox WHERE state != 'kept'
            UNION SELECT host FROM effects WHERE state IN ('planned', 'started')"""
        )
        return tuple(host for (host,) in rows)

    @writes
    def take(self, sql: Sql, hosts: Sequence[str | None]) -> tuple[list[int], list[EffectKey]]:
        """Give this host the unfinished work of other hosts; return the ids of its waiting messages and of its effects.

        Messages without an answer and effects without an end move. Work that another host took first is not returned.
        """
        assert self.host is not None, "a store of one host has nothing of others"
        waiting = list[int]()
        effects = list[EffectKey]()
        for host in hosts:
            move = "UPDATE inbox SET host = ? WHERE state != 'kept' AND host IS ? RETURNING message_id, state"
            rows = sql.execute(move, (self.host, host)).fetchall()
            waiting += [number for number, state in rows if state == "waiting"]
            effects += take_effects(sql, host, self.host)
        return waiting, effects

    @reads
    def unanswered(self, sql: Sql, besides: Sequence[int] = ()) -> tuple[InboxMessage, ...]:
        """Return this host's messages without an answer, oldest first, except the messages with ids in `besides`."""
        where = f"state = 'waiting' AND (? IS NULL OR host = ?) AND (message_id {one_of(besides)}) IS NOT TRUE"
        return _rows(sql, where, (self.host, self.host, *besides))

    @writes
    def answer(self, sql: Sql, message_id: int, outbound: OutboxRow, keeping: Sequence[Work] = ()) -> int:
        """Put the answer into the outbox and forget the turn's rows, in one step; return the number of the outbox row.

        The works in `keeping` are done in the same step: they add the answer to its conversation. From time to time old
        rows are deleted. Raises TakenOver if another host has the message now.
        """
        check_host(sql, message_id, self.host)
        for work in keeping:
            work(sql)
        now_ms = self._now_ms()
        host_columns: dict[str, Any] = {"created_ms": now_ms, "message_id": message_id, "host": self.host}
        outbound_id = insert(sql, "outbox", outbound, number="outbound_id", **host_columns)
        _keep(sql, "message_id = ?", (message_id,))
        delete(sql, "turn_rows", message_id=message_id)
        if message_id % PRUNE_EVERY == 0:
            prune(sql, now_ms)
        return outbound_id


def prune(sql: Sql, now_ms: int, *, rows: int = KEEP_ROWS) -> int:
    """Delete old and finished messages and answers; return how many messages were deleted.

    Old means older than KEEP_DAYS; an unanswered message stays. Of finished ones the newest `rows` stay.
    """
    limits = now_ms - KEEP_DAYS * DAY_MS, rows
    sql.execute(
        """DELETE FROM outbox WHERE created_ms < ? OR (delivered_ms IS NOT NULL
        AND outbound_id <= (SELECT max(outbound_id) FROM outbox) - ?)""",
        limits,
    )
    return sql.execute(
        """DELETE FROM inbox WHERE state IN ('answered', 'kept') AND (received_ms < ?
        OR message_id <= (SELECT max(message_id) FROM inbox) - ?)""",
        limits,
    ).rowcount


def end_unanswered(sql: Sql) -> int:
    """End all waiting messages, once, in a store from a backup; return how many get no answer.

    Another host may have answered them since the backup, so they are not done again.
    """
    sql.execute("DELETE FROM turn_rows")
    return _keep(sql, "state = 'waiting'")


def _check_open_question(sql: Sql, inbound: Inbound) -> None:
    """Raise AlreadyAnswered if the message answers a question after which another message came."""
    if inbound.answers is None:
        return
    query = "SELECT text FROM inbox WHERE channel = ? AND chat_id = ? AND message_id > ? ORDER BY message_id LIMIT 1"
    text = scalar(sql, query, (inbound.channel, inbound.chat_id, inbound.answers))
    if text is not None:
        answer = clean_text(text, one_line=True, limit=MAX_SHOWN_CHARS)
        said = f'this question was answered already, with "{answer}"'
        raise AlreadyAnswered(said, next_step="read what that led to; say yours as a sentence if you still want it")


def _keep(sql: Sql, which: str, values: Sequence[object] = ()) -> int:
    """Mark these messages as finished and delete their attachments; return how many they are."""
    query = f"DELETE FROM inbox_attachments WHERE message_id IN (SELECT message_id FROM inbox WHERE {which})"  # noqa: S608
    sql.execute(query, values)
    return sql.execute(f"UPDATE inbox SET state = 'kept' WHERE {which}", values).rowcount  # noqa: S608 - constants


def _claim(sql: Sql, message_id: int, host: str | None) -> Claim:
    query = "SELECT channel, chat_id FROM inbox WHERE message_id = ? AND host IS ? AND state = 'waiting'"
    chat = sql.execute(query, (message_id, host)).fetchone()
    if chat is None:
        return "gone"
    begin = f"UPDATE inbox SET starts = starts + 1 WHERE message_id = ? AND NOT EXISTS ({_OLDER_ELSEWHERE})"  # noqa: S608 - a constant
    begun_count = sql.execute(begin, (message_id, *chat, message_id, host)).rowcount
    return "begun" if begun_count else "waits"


def _rows(sql: Sql, where: str, values: Sequence[object]) -> tuple[InboxMessage, ...]:
    query = f"SELECT message_id, received_ms, starts, {columns(Inbound)} FROM inbox WHERE {where} ORDER BY message_id"  # noqa: S608
    of_message = "inbox_attachments WHERE message_id = ? ORDER BY position"
    messages = []
    for message_id, received_ms, starts, *inbound_columns in sql.execute(query, values).fetchall():
        attachments = select(sql, Attachment, of_message, (message_id,))
        inbound = replace(Inbound(*inbound_columns), attachments=attachments)
        messages.append(InboxMessage(message_id, inbound, received_ms, starts))
    return tuple(messages)
