"""What goes out to people: answers and pushes, until a channel has delivered them. Plain rows; it sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from microclaw.store.database import Database
from microclaw.store.rows import Table, insert, one_of
from microclaw.store.sql import Sql

Kind: TypeAlias = Literal["answer", "push"]

KEEP_DAYS: Final = 30
KEEP_ROWS: Final = 2_000
DAY_MS: Final = 86_400_000
_DELIVERED: Final = "UPDATE outbox SET delivered_ms = ? WHERE outbound_id = ? AND delivered_ms IS NULL"


@dataclass(frozen=True, slots=True)
class NewOutbound:
    """`key` is the channel's own id of the message that is answered; `body` is JSON text."""

    channel: str
    chat_id: str
    kind: Kind
    person: str
    key: str | None
    body: str


@dataclass(frozen=True, slots=True)
class OutboxRow(NewOutbound):
    """`host` holds it, in a cluster: only that one delivers it while it is alive. None: who has the channel."""

    outbound_id: int
    created_ms: int
    host: str | None = None


class OutboxTable(Table):
    """Every write is on the disk when it returns."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        super().__init__(database)
        self._now_ms = now_ms
        self._late: set[int] = set()  # delivered, and not yet so in the store

    async def add(self, outbound: NewOutbound) -> int:
        now_ms = self._now_ms()
        return await self._database.write(lambda connection: insert_outbound(connection, outbound, None, now_ms))

    async def delivered(self, outbound_id: int) -> None:
        await self._execute(_DELIVERED, (self._now_ms(), outbound_id))

    def delivered_soon(self, outbound_id: int) -> None:
        """The note goes with the next write: after a crash that loses it, the message is delivered again. For a store
        that no other host reads."""
        values = (self._now_ms(), outbound_id)
        self._late.add(outbound_id)
        self._database.write_later(lambda connection: connection.execute(_DELIVERED, values))

    @property
    def host(self) -> str | None:
        """This host; None for one that runs alone."""
        return self._database.host

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` when another host changed what goes out."""
        self._database.listen(lambda tables: changed() if "outbox" in tables else None)

    async def hold(self, outbound_id: int, holder: str | None, *, instead_of: str | None) -> bool:
        """Make it another host's, or nobody's; False where it is delivered, or not that host's any more."""
        query = "UPDATE outbox SET host = ? WHERE outbound_id = ? AND host IS ? AND delivered_ms IS NULL"
        return await self._execute(query, (holder, outbound_id, instead_of)) == 1

    async def undelivered(
        self, channel: str, *, chats: Collection[str] | None = None, limit: int = 64
    ) -> tuple[OutboxRow, ...]:
        """Oldest first; of these chats only, where some are given."""
        only = "" if chats is None else f"AND chat_id {one_of(chats)}"
        where = f"outbox WHERE channel = ? AND delivered_ms IS NULL {only} ORDER BY outbound_id LIMIT ?"
        rows = await self._select(OutboxRow, where, (channel, *(chats or ()), limit))
        return tuple(row for row in rows if row.outbound_id not in self._late)

    async def count(self, channel: str) -> int:
        """How many wait for this channel."""
        query = "SELECT count(*) FROM outbox WHERE channel = ? AND delivered_ms IS NULL"
        rows = await self._database.read(lambda connection: connection.execute(query, (channel,)).fetchall())
        return int(rows[0][0])

    async def prune(self, *, days: int = KEEP_DAYS, rows: int = KEEP_ROWS) -> int:
        """Forget what is older, delivered or not, and the delivered beyond the newest `rows`; returns how many."""
        values, late = (self._now_ms() - days * DAY_MS, rows), frozenset(self._late)
        query = """DELETE FROM outbox WHERE created_ms < ? OR (delivered_ms IS NOT NULL
            AND outbound_id <= (SELECT max(outbound_id) FROM outbox) - ?)"""
        pruned = await self._execute(query, values)
        self._late -= late  # written before this was
        return pruned


def insert_outbound(
    connection: Sql,
    outbound: NewOutbound,
    message_id: int | None,
    now_ms: int,
    host: str | None = None,
) -> int:
    """For a transaction that changes more than the outbox. `host` holds it."""
    more: dict[str, Any] = {"message_id": message_id, "created_ms": now_ms, "host": host}
    return insert(connection, "outbox", outbound, number="outbound_id", **more)
