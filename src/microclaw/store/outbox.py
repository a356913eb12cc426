"""Messages to people: answers and pushes, until a channel has delivered them. Plain rows; it sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.store.database import Database
from microclaw.store.rows import TimedTable, insert, one_of, reads, scalar, select, update, writes
from microclaw.store.sql import Sql

Kind: TypeAlias = Literal["answer", "push"]

KEEP_DAYS: Final = 30
KEEP_ROWS: Final = 2_000
DAY_MS: Final = 86_400_000


class OutboxRow(Struct, frozen=True):
    """`key` is the channel's own id of the message that is answered; `body` is JSON text.

    `host` holds it, in a cluster: only that one delivers it while it is alive. None: who has the channel.
    """

    channel: str
    chat_id: str
    kind: Kind
    person: str
    key: str | None
    body: str
    outbound_id: int = 0
    created_ms: int = 0
    host: str | None = None


class OutboxTable(TimedTable):
    """Every write is on the disk when it returns."""

    followed = frozenset({"outbox"})

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        super().__init__(database, now_ms)
        self._late: set[int] = set()  # delivered, and not yet so in the store

    @writes
    def add(self, sql: Sql, outbound: OutboxRow) -> int:
        return insert_outbound(sql, outbound, self._now_ms())

    @writes
    def delivered(self, sql: Sql, outbound_id: int) -> None:
        update(sql, "outbox", {"outbound_id": outbound_id, "delivered_ms": None}, delivered_ms=self._now_ms())

    def delivered_soon(self, outbound_id: int) -> None:
        """The note goes with the next write: after a crash that loses it, the message is delivered again. For a store
        that no other host reads."""
        one, now_ms = {"outbound_id": outbound_id, "delivered_ms": None}, self._now_ms()
        self._late.add(outbound_id)
        self.database.write_later(lambda sql: update(sql, "outbox", one, delivered_ms=now_ms))

    @writes
    def hold(self, sql: Sql, outbound_id: int, holder: str | None, *, instead_of: str | None) -> bool:
        """Make it another host's, or nobody's; False where it is delivered, or not that host's any more."""
        one = {"outbound_id": outbound_id, "host": instead_of, "delivered_ms": None}
        return update(sql, "outbox", one, host=holder).rowcount == 1

    async def undelivered(
        self, channel: str, *, chats: Collection[str] | None = None, limit: int = 64
    ) -> tuple[OutboxRow, ...]:
        """Oldest first; of these chats only, where some are given."""
        rows = await self._undelivered(channel, chats, limit)
        return tuple(row for row in rows if row.outbound_id not in self._late)  # delivered during the read, too

    @reads
    def _undelivered(self, sql: Sql, channel: str, chats: Collection[str] | None, limit: int) -> tuple[OutboxRow, ...]:
        only = "" if chats is None else f"AND chat_id {one_of(chats)}"
        where = f"outbox WHERE channel = ? AND delivered_ms IS NULL {only} ORDER BY outbound_id LIMIT ?"
        return select(sql, OutboxRow, where, (channel, *(chats or ()), limit))

    @reads
    def count(self, sql: Sql, channel: str) -> int:
        """The number of messages that wait for this channel."""
        query = "SELECT count(*) FROM outbox WHERE channel = ? AND delivered_ms IS NULL"
        return int(scalar(sql, query, (channel,)))

    async def prune(self, *, days: int = KEEP_DAYS, rows: int = KEEP_ROWS) -> int:
        """Forget what is older, delivered or not, and the delivered beyond the newest `rows`; returns how many."""
        late = frozenset(self._late)
        pruned = await self._prune(self._now_ms() - days * DAY_MS, rows)
        self._late -= late  # written before this was
        return pruned

    @writes
    def _prune(self, sql: Sql, before_ms: int, rows: int) -> int:
        query = """DELETE FROM outbox WHERE created_ms < ? OR (delivered_ms IS NOT NULL
            AND outbound_id <= (SELECT max(outbound_id) FROM outbox) - ?)"""
        return sql.execute(query, (before_ms, rows)).rowcount


def insert_outbound(sql: Sql, outbound: OutboxRow, now_ms: int, **more: Any) -> int:
    """For a transaction that changes more than the outbox, too. `more`: the `message_id` that it answers, the `host`
    that holds it."""
    return insert(sql, "outbox", outbound, number="outbound_id", created_ms=now_ms, **more)
