"""Messages to people: answers and pushes, until a channel has delivered them. Plain rows; it sends nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.conversion import convert
from microclaw.events import Answer
from microclaw.host.store.rows import TimedTable, insert, one_of, reads, scalar, select, update, writes
from microclaw.host.store.sql import Sql

MAX_FAILURES: Final = 100
DAY_MS: Final = 86_400_000
Kind: TypeAlias = Literal["answer", "push"]


class OutboxRow(Struct, frozen=True):
    """A message to a person.

    `key` is the channel's own id of the message that is answered, `reply_to` its number in the chat, `message_id` its
    number in the inbox. `failed` says why it could not be delivered; then it is not tried again. In a cluster only the
    host `host` delivers it while that host is alive; None: the host that has the channel.
    """

    channel: str
    chat_id: str
    kind: Kind
    person: str
    key: str | None
    # An Answer. In a row that was read it is the JSON object, so that a broken one stops only its own delivery.
    body: Any
    outbound_id: int = 0
    created_ms: int = 0
    host: str | None = None
    reply_to: str | None = None
    failed: str | None = None
    message_id: int | None = None

    @property
    def answer(self) -> Answer:
        """The answer or push itself, with its number."""
        return replace(convert(self.body, Answer), outbound_id=self.outbound_id)


class OutboxTable(TimedTable):
    """Messages to people in one database. Every write is on the disk when it returns."""

    followed = frozenset({"outbox"})

    @writes
    def add(self, sql: Sql, outbound: OutboxRow) -> int:
        return insert(sql, "outbox", outbound, number="outbound_id", created_ms=self._now_ms())

    @writes
    def mark_delivered(self, sql: Sql, outbound_id: int) -> None:
        update(sql, "outbox", {"outbound_id": outbound_id, "delivered_ms": None}, delivered_ms=self._now_ms())

    @writes
    def fail(self, sql: Sql, outbound_id: int, why: str) -> None:
        """Note why it could not be delivered; it waits no longer."""
        key = {"outbound_id": outbound_id, "delivered_ms": None}
        update(sql, "outbox", key, delivered_ms=self._now_ms(), failed=why)

    @reads
    def failures(self, sql: Sql) -> tuple[OutboxRow, ...]:
        """Return the messages that could not be delivered within the last day, newest first."""
        where = "outbox WHERE failed IS NOT NULL AND delivered_ms > ? ORDER BY outbound_id DESC LIMIT ?"
        return select(sql, OutboxRow, where, (self._now_ms() - DAY_MS, MAX_FAILURES))

    def mark_delivered_soon(self, outbound_id: int) -> None:
        """Note the delivery with the next write. For a store that no other host reads.

        After a crash that loses the note, the message is delivered again.
        """
        key = {"outbound_id": outbound_id, "delivered_ms": None}
        now_ms = self._now_ms()
        self.database.write_later(lambda sql: update(sql, "outbox", key, delivered_ms=now_ms))

    @writes
    def hold(self, sql: Sql, outbound_id: int, holder: str | None, *, instead_of: str | None) -> bool:
        """Give the message to another host, or to none; return False if `instead_of` does not hold it any more."""
        key = {"outbound_id": outbound_id, "host": instead_of, "delivered_ms": None}
        return update(sql, "outbox", key, host=holder).rowcount == 1

    @reads
    def undelivered(
        self, sql: Sql, channel: str, *, chats: Collection[str] | None = None, limit: int = 64
    ) -> tuple[OutboxRow, ...]:
        """Return messages that wait, oldest first; of these chats only, if `chats` is given."""
        if chats is None:
            only = ""
        else:
            only = f"AND chat_id {one_of(chats)}"
        where = f"outbox WHERE channel = ? AND delivered_ms IS NULL {only} ORDER BY outbound_id LIMIT ?"
        return select(sql, OutboxRow, where, (channel, *(chats or ()), limit))

    @reads
    def answers(self, sql: Sql, channel: str, chat_id: str, since: int) -> tuple[OutboxRow, ...]:
        """Return the answers to a chat's messages from the number `since` on, delivered or not."""
        where = "outbox WHERE channel = ? AND chat_id = ? AND message_id >= ?"
        return select(sql, OutboxRow, where, (channel, chat_id, since))

    @reads
    def count(self, sql: Sql, channel: str) -> int:
        """Return the number of messages that wait for this channel."""
        query = "SELECT count(*) FROM outbox WHERE channel = ? AND delivered_ms IS NULL"
        return int(scalar(sql, query, (channel,)))
