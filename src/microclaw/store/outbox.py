"""Messages to people: answers and pushes, until a channel has delivered them. Plain rows; it sends nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct, convert
from msgspec.structs import replace

from microclaw.events import Answer
from microclaw.store.rows import TimedTable, insert, one_of, reads, scalar, select, update, writes
from microclaw.store.sql import Sql

MAX_FAILURES: Final = 100
DAY_MS: Final = 86_400_000
Kind: TypeAlias = Literal["answer", "push"]


class OutboxRow(Struct, frozen=True):
    """`key` is the channel's own id of the message that is answered, `reply_to` its number in the chat. `failed` says
    why it could not be delivered; then it is not tried again.

    `host` holds it, in a cluster: only that one delivers it while it is alive. None: who has the channel.
    """

    channel: str
    chat_id: str
    kind: Kind
    person: str
    key: str | None
    body: Any  # an Answer; where it was read its JSON object: one that cannot be decoded stops itself alone
    outbound_id: int = 0
    created_ms: int = 0
    host: str | None = None
    reply_to: str | None = None
    failed: str | None = None

    @property
    def answer(self) -> Answer:
        """The answer or push itself, with its number."""
        return replace(convert(self.body, Answer), outbound_id=self.outbound_id)


class OutboxTable(TimedTable):
    """Every write is on the disk when it returns."""

    followed = frozenset({"outbox"})

    @writes
    def add(self, sql: Sql, outbound: OutboxRow) -> int:
        return insert(sql, "outbox", outbound, number="outbound_id", created_ms=self._now_ms())

    @writes
    def delivered(self, sql: Sql, outbound_id: int) -> None:
        update(sql, "outbox", {"outbound_id": outbound_id, "delivered_ms": None}, delivered_ms=self._now_ms())

    @writes
    def fail(self, sql: Sql, outbound_id: int, why: str) -> None:
        """Note why it could not be delivered; it waits no longer."""
        one = {"outbound_id": outbound_id, "delivered_ms": None}
        update(sql, "outbox", one, delivered_ms=self._now_ms(), failed=why)

    @reads
    def failures(self, sql: Sql) -> tuple[OutboxRow, ...]:
        """Return what could not be delivered within the last day, newest first."""
        where = "outbox WHERE failed IS NOT NULL AND delivered_ms > ? ORDER BY outbound_id DESC LIMIT ?"
        return select(sql, OutboxRow, where, (self._now_ms() - DAY_MS, MAX_FAILURES))

    def delivered_soon(self, outbound_id: int) -> None:
        """The note goes with the next write: after a crash that loses it, the message is delivered again. For a store
        that no other host reads."""
        one = {"outbound_id": outbound_id, "delivered_ms": None}
        now_ms = self._now_ms()
        self.database.write_later(lambda sql: update(sql, "outbox", one, delivered_ms=now_ms))

    @writes
    def hold(self, sql: Sql, outbound_id: int, holder: str | None, *, instead_of: str | None) -> bool:
        """Make it another host's, or nobody's; False where it is delivered, or not that host's any more."""
        one = {"outbound_id": outbound_id, "host": instead_of, "delivered_ms": None}
        return update(sql, "outbox", one, host=holder).rowcount == 1

    @reads
    def undelivered(
        self, sql: Sql, channel: str, *, chats: Collection[str] | None = None, limit: int = 64
    ) -> tuple[OutboxRow, ...]:
        """Oldest first; of these chats only, where some are given."""
        if chats is None:
            only = ""
        else:
            only = f"AND chat_id {one_of(chats)}"
        where = f"outbox WHERE channel = ? AND delivered_ms IS NULL {only} ORDER BY outbound_id LIMIT ?"
        return select(sql, OutboxRow, where, (channel, *(chats or ()), limit))

    @reads
    def count(self, sql: Sql, channel: str) -> int:
        """The number of messages that wait for this channel."""
        query = "SELECT count(*) FROM outbox WHERE channel = ? AND delivered_ms IS NULL"
        return int(scalar(sql, query, (channel,)))
