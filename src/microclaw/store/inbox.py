"""Messages taken in, and their ends. Plain rows; it knows no channel and no turn.

A message is `waiting` until it is answered, `joined` while it is part of another message's turn, and `kept` once its
answer is in the outbox and in the conversation. (`answered`: microclaw 0.1.0 was killed between these two.)

In a cluster a message is the host's that accepted it, until another one takes it. Only its host begins and answers its
turn, and only when no older message of its chat waits at another host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from microclaw.events import Attachment, Inbound
from microclaw.store.database import Database
from microclaw.store.journal import EffectRow, Work, check_host, no_work, take_effects
from microclaw.store.outbox import DAY_MS, KEEP_DAYS, KEEP_ROWS, NewOutbound, insert_outbound
from microclaw.store.rows import Table, columns, insert, one_of, select
from microclaw.store.sql import Sql

Claim: TypeAlias = Literal["begun", "waits", "gone"]
"""What became of a message's claim: an older one of its chat waits at another host, or it is another host's itself."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message on the disk. `starts`: how many turns began for it before; more than 0 after a crash. `begun`: the next
    start is counted already."""

    message_id: int
    inbound: Inbound
    received_ms: int
    starts: int = 0
    begun: bool = False


@dataclass(frozen=True, slots=True)
class LeftMessages:
    """What hosts left that are not alive: messages without an answer, and effects without an end. All of it is this
    host's now."""

    unanswered: tuple[Message, ...] = ()
    effects: tuple[EffectRow, ...] = ()


class InboxTable(Table):
    """Every write is on the disk when it returns."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        super().__init__(database)
        self._now_ms = now_ms

    async def add(self, inbound: Inbound, *, begun: bool = False) -> tuple[Message, bool]:
        """The message's row, and whether it was there already under its key. `begun` counts a start of its turn."""
        now_ms, host = self._now_ms(), self._database.host
        return await self._database.write(lambda connection: _add(connection, inbound, now_ms, begun, host))

    async def has(self, channel: str, key: str) -> bool:
        query = "SELECT 1 FROM inbox WHERE channel = ? AND key = ?"
        return await self._database.read(lambda c: c.execute(query, (channel, key)).fetchone() is not None)

    async def begin(self, message_id: int) -> None:
        """Count a start of its turn."""
        await self._execute("UPDATE inbox SET starts = starts + 1 WHERE message_id = ?", (message_id,))

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` when another host changed messages."""
        self._database.listen(lambda tables: changed() if "inbox" in tables else None)

    async def claim(self, message_ids: Sequence[int]) -> dict[int, Claim]:
        """Count a start of each message's turn, where it may begin now."""
        host = self._database.host
        return await self._database.write(lambda c: {number: _claim(c, number, host) for number in message_ids})

    async def hosts(self) -> tuple[str | None, ...]:
        """Whose messages without an answer and effects without an end there are."""
        return await self._database.read(_hosts)

    async def take(self, hosts: Sequence[str | None]) -> LeftMessages:
        """Make what these hosts have this one's; what another host took first is not in the answer."""
        taker = self._database.host
        assert taker is not None, "a store of one host has nothing of others"
        return await self._database.write(lambda connection: _take(connection, hosts, taker))

    async def unanswered(self) -> tuple[Message, ...]:
        """This host's, oldest first, without those that have joined another's turn."""
        where, values = self._own("state = 'waiting'")
        return await self._database.read(lambda connection: _rows(connection, where, values))

    async def joined(self, message_id: int) -> tuple[Message, ...]:
        """The messages that became part of this one's turn, oldest first."""
        where = "state = 'joined' AND joined = ?"
        return await self._database.read(lambda connection: _rows(connection, where, (message_id,)))

    async def answer(self, message_id: int, outbound: NewOutbound, keeping: Work = no_work) -> int:
        """Put the answer into the outbox and forget the turn's rows, in one step; returns the outbound's number.
        `keeping` adds it to its conversation in that step.

        Raises TakenOver where another host has the message now.
        """
        now_ms, host = self._now_ms(), self._database.host
        return await self._database.write(lambda c: _answer(c, message_id, outbound, keeping, now_ms, host))

    async def prune(self, *, days: int = KEEP_DAYS, rows: int = KEEP_ROWS) -> int:
        """Forget finished messages that are older, or beyond the newest `rows`; returns how many."""
        before_ms = self._now_ms() - days * DAY_MS
        return await self._database.write(lambda connection: _prune(connection, before_ms, rows))

    def _own(self, where: str) -> tuple[str, tuple[str, ...]]:
        host = self._database.host
        return (where, ()) if host is None else (f"{where} AND host = ?", (host,))


def end_unanswered(connection: Sql) -> int:
    """To be done once to a store from a backup: what waited when it was made may be done since, and is not done again.

    Returns how many messages get no answer.
    """
    waiting = "state IN ('waiting', 'joined')"
    connection.execute("DELETE FROM turn_rows")
    connection.execute(
        f"DELETE FROM inbox_attachments WHERE message_id IN (SELECT message_id FROM inbox WHERE {waiting})"  # noqa: S608 - constants
    )
    return connection.execute(f"UPDATE inbox SET state = 'kept' WHERE {waiting}").rowcount  # noqa: S608 - constants


def _add(connection: Sql, inbound: Inbound, now_ms: int, begun: bool, host: str | None) -> tuple[Message, bool]:
    if inbound.key is not None:
        known = _rows(connection, "channel = ? AND key = ?", (inbound.channel, inbound.key))
        if known:
            return known[0], True
    if begun and host is not None:  # the new message would be the newest of all
        begun = not connection.execute(
            f"SELECT EXISTS ({_OLDER_ELSEWHERE})", (inbound.channel, inbound.chat_id, 2**62, host)
        ).fetchone()[0]
    message_id = insert(
        connection,
        "inbox",
        inbound,
        number="message_id",
        received_ms=now_ms,
        starts=int(begun),
        state="waiting",
        host=host,
    )
    for position, attachment in enumerate(inbound.attachments):
        insert(connection, "inbox_attachments", attachment, message_id=message_id, position=position)
    return Message(message_id, inbound, now_ms, 0, begun), False


# `state != 'kept'` is for the index inbox_open.
_OLDER_ELSEWHERE = """SELECT 1 FROM inbox AS older
    WHERE older.state != 'kept' AND older.state = 'waiting' AND older.channel = ? AND older.chat_id = ?
    AND older.message_id < ? AND older.host IS NOT ?"""


def _claim(connection: Sql, message_id: int, host: str | None) -> Claim:
    found = connection.execute(
        "SELECT channel, chat_id FROM inbox WHERE message_id = ? AND host IS ? AND state = 'waiting'",
        (message_id, host),
    ).fetchone()
    if found is None:
        return "gone"
    claimed = connection.execute(
        f"UPDATE inbox SET starts = starts + 1 WHERE message_id = ? AND NOT EXISTS ({_OLDER_ELSEWHERE})",  # noqa: S608 - a constant
        (message_id, *found, message_id, host),
    ).rowcount
    return "begun" if claimed else "waits"


def _hosts(connection: Sql) -> tuple[str | None, ...]:
    rows = connection.execute(
        """SELECT host FROM inbox WHERE state != 'kept'
        UNION SELECT host FROM effects WHERE state IN ('planned', 'started')"""
    )
    return tuple(host for (host,) in rows)


def _take(connection: Sql, hosts: Sequence[str | None], taker: str) -> LeftMessages:
    taken: list[int] = []
    effects: list[EffectRow] = []
    for host in hosts:
        moved = "UPDATE inbox SET host = ? WHERE state != 'kept' AND host IS ? RETURNING message_id"
        taken += [number for (number,) in connection.execute(moved, (taker, host)).fetchall()]
        effects += take_effects(connection, host, taker)
    waiting = _rows(connection, f"state = 'waiting' AND message_id {one_of(taken)}", taken)
    return LeftMessages(waiting, tuple(effects))


def _answer(
    connection: Sql,
    message_id: int,
    outbound: NewOutbound,
    keeping: Work,
    now_ms: int,
    host: str | None,
) -> int:
    check_host(connection, message_id, host)
    keeping(connection)
    outbound_id = insert_outbound(connection, outbound, message_id, now_ms, host)
    done = "message_id = :id OR (joined = :id AND state = 'joined')"
    connection.execute(
        f"DELETE FROM inbox_attachments WHERE message_id IN (SELECT message_id FROM inbox WHERE {done})",  # noqa: S608 - constants
        {"id": message_id},
    )
    connection.execute(f"UPDATE inbox SET state = 'kept' WHERE {done}", {"id": message_id})  # noqa: S608 - constants
    connection.execute("DELETE FROM turn_rows WHERE message_id = ?", (message_id,))
    return outbound_id


def _prune(connection: Sql, before_ms: int, rows: int) -> int:
    done = "state IN ('answered', 'kept')"
    connection.execute(f"UPDATE inbox SET joined = NULL WHERE joined IS NOT NULL AND {done}")  # noqa: S608 - may go alone
    return connection.execute(
        f"""DELETE FROM inbox WHERE {done} AND (received_ms < ?
            OR message_id <= (SELECT max(message_id) FROM inbox) - ?)
            AND message_id NOT IN (SELECT joined FROM inbox WHERE joined IS NOT NULL)""",  # noqa: S608 - constants
        (before_ms, rows),
    ).rowcount


def _rows(connection: Sql, where: str, values: Sequence[object]) -> tuple[Message, ...]:
    found = connection.execute(
        f"""SELECT message_id, received_ms, starts, {columns(Inbound)}
        FROM inbox WHERE {where} ORDER BY message_id""",  # noqa: S608 - constants of this file
        tuple(values),
    ).fetchall()
    return tuple(
        Message(
            message_id,
            replace(Inbound(*inbound), attachments=_attachments(connection, message_id)),
            received_ms,
            starts,
        )
        for message_id, received_ms, starts, *inbound in found
    )


def _attachments(connection: Sql, message_id: int) -> tuple[Attachment, ...]:
    return select(connection, Attachment, "inbox_attachments WHERE message_id = ? ORDER BY position", (message_id,))
