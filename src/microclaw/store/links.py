"""Durable messages between this host and its devices: an outbox and an inbox for each. Reads no message.

The cursors are those of wire/link/sequence.py. Each method is one transaction of the database, which commits those of
many devices at once. `append_to` and `advance_in` join a transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from microclaw.errors import Overloaded, StoreError
from microclaw.store.database import Database
from microclaw.store.firmware import OfferRow, refused_in
from microclaw.store.link_holders import check_holder, forget_holder
from microclaw.store.rows import Table
from microclaw.store.sql import Sql
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor, StoredMessage

MAX_MESSAGES: Final = 1024
MAX_BYTES: Final = 4 * 1024 * 1024
REMEMBERED_IDS: Final = 256  # what an inbox recognises after the other end renewed its epoch
EPOCH_BYTES: Final = 8


class LinkTable(Table):
    """The outboxes and inboxes of one database. `random_bytes` makes epochs."""

    def __init__(self, database: Database, *, now_ms: Callable[[], int], random_bytes: Callable[[int], bytes]) -> None:
        super().__init__(database)
        self._now_ms = now_ms
        self._random_bytes = random_bytes

    async def open(self, device_id: str) -> tuple[HostOutbox, HostInbox]:
        """The device's outbox and inbox; made, with a new epoch, when it has none."""
        epoch = self._random_bytes(EPOCH_BYTES)
        query = "INSERT INTO links (device_id, tx_epoch) VALUES (?, ?) ON CONFLICT DO NOTHING"
        await self._execute(query, (device_id, epoch))
        outbox = HostOutbox(self._database, device_id, now_ms=self._now_ms, random_bytes=self._random_bytes)
        return outbox, HostInbox(self._database, device_id)

    async def waiting(self) -> dict[str, int]:
        """How many messages wait for each device that has any."""
        return await self._database.read(
            lambda connection: dict(
                connection.execute("SELECT device_id, count(*) FROM link_outbox GROUP BY device_id").fetchall()
            )
        )

    async def newest(self) -> dict[str, int]:
        """The number of the last message that waits for each device that has any."""
        return await self._database.read(
            lambda connection: dict(
                connection.execute("SELECT device_id, max(seq) FROM link_outbox GROUP BY device_id").fetchall()
            )
        )

    async def forget(self, device_id: str) -> None:
        """The device is gone: so are its messages, both ways."""
        await self._database.write(lambda connection: _forget(connection, device_id))


def _forget(connection: Sql, device_id: str) -> None:
    connection.execute("DELETE FROM links WHERE device_id = ?", (device_id,))
    forget_holder(connection, device_id)


def renew_all(connection: Sql, random_bytes: Callable[[int], bytes]) -> int:
    """To be done once to a store from a backup: it does not know the numbers given since. How many links."""
    devices = connection.execute("SELECT device_id FROM links").fetchall()
    for (device_id,) in devices:
        _renew(connection, device_id, random_bytes(EPOCH_BYTES))
    return len(devices)


class HostOutbox:
    """What waits for one device. `fence` is that of its connection here, in a cluster (store/link_holders.py)."""

    fence: int | None = None

    def __init__(
        self,
        database: Database,
        device_id: str,
        *,
        now_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._device_id = device_id
        self._now_ms = now_ms
        self._random_bytes = random_bytes

    async def cursor(self) -> OutboxCursor:
        return await self._database.read(lambda connection: _outbox_cursor(connection, self._device_id))

    async def append(self, message_id: bytes, payload: bytes, also: Callable[[Sql], object] | None = None) -> int:
        """Keep the message; its number. Overloaded when the outbox is full; an id that is there keeps its number.

        `also` is done in the same transaction.
        """
        now_ms = self._now_ms()

        def apply(connection: Sql) -> int:
            seq = append_to(connection, self._device_id, message_id, payload, now_ms)
            if also is not None:
                also(connection)
            return seq

        return await self._database.write(apply)

    async def unacked_after(self, seq: int, limit: int) -> Sequence[StoredMessage]:
        return await self._database.read(lambda connection: _unacked_after(connection, self._device_id, seq, limit))

    async def waiting_ids(self) -> frozenset[bytes]:
        """The messages that are not acked, whatever their numbers are now."""
        query = "SELECT message_id FROM link_outbox WHERE device_id = ?"
        rows = await self._database.read(lambda connection: connection.execute(query, (self._device_id,)).fetchall())
        return frozenset(row[0] for row in rows)

    async def refused(self, message_id: bytes, error: str) -> OfferRow | None:
        """The offer that this message made, which the device answered with an error: it is over; None for others."""
        now_ms = self._now_ms()
        return await self._database.write(lambda c: refused_in(c, self._device_id, message_id, error, now_ms))

    async def ack(self, seq: int) -> None:
        fence = self.fence

        def apply(connection: Sql) -> None:
            check_holder(connection, self._device_id, fence)
            _ack(connection, self._device_id, seq)

        await self._database.write(apply)

    async def renew(self) -> OutboxCursor:
        """Start a new epoch: what is not acked is numbered from 1 again, in order."""
        epoch = self._random_bytes(EPOCH_BYTES)
        fence = self.fence

        def apply(connection: Sql) -> OutboxCursor:
            check_holder(connection, self._device_id, fence)
            return _renew(connection, self._device_id, epoch)

        return await self._database.write(apply)


class HostInbox:
    """What of one device's messages has had its effect here. `fence` as HostOutbox has it."""

    fence: int | None = None

    def __init__(self, database: Database, device_id: str) -> None:
        self._database = database
        self._device_id = device_id

    async def cursor(self) -> InboxCursor:
        return await self._database.read(lambda connection: _inbox_cursor(connection, self._device_id))

    async def advance(
        self,
        epoch: bytes,
        seq: int,
        message_id: bytes,
        effect: Callable[[Sql], object] | None = None,
    ) -> bool:
        """Move the cursor and do `effect` in one transaction; False when the message had its effect already.

        What `effect` raises undoes both.
        """

        fence = self.fence

        def apply(connection: Sql) -> bool:
            check_holder(connection, self._device_id, fence)
            if not advance_in(connection, self._device_id, epoch, seq, message_id):
                return False
            if effect is not None:
                effect(connection)
            return True

        return await self._database.write(apply)


def append_to(connection: Sql, device_id: str, message_id: bytes, payload: bytes, now_ms: int) -> int:
    """Append within a transaction of the caller (so that what it reports is stored together with it)."""
    count, size_bytes, there = connection.execute(
        """SELECT count(*), coalesce(sum(length(payload)), 0), max(CASE WHEN message_id = ? THEN seq END)
        FROM link_outbox WHERE device_id = ?""",
        (message_id, device_id),
    ).fetchone()
    if there is not None:
        return int(there)
    if count >= MAX_MESSAGES or size_bytes + len(payload) > MAX_BYTES:
        raise Overloaded(
            f"{count} messages ({size_bytes} bytes) wait for device {device_id} already",
            next_step="bring the device back, or remove it",
        )
    query = "UPDATE links SET last_seq = last_seq + 1 WHERE device_id = ? RETURNING last_seq"
    row = connection.execute(query, (device_id,)).fetchone()
    if row is None:
        raise _no_link(device_id)
    connection.execute(
        "INSERT INTO link_outbox (device_id, seq, message_id, payload, stored_ms) VALUES (?, ?, ?, ?, ?)",
        (device_id, row[0], message_id, payload, now_ms),
    )
    return int(row[0])


def advance_in(connection: Sql, device_id: str, epoch: bytes, seq: int, message_id: bytes) -> bool:
    """Move the inbox's cursor within the effect's transaction; False when the message had its effect already."""
    cursor = _inbox_cursor(connection, device_id)
    reached = cursor.seq if cursor.epoch == epoch else 0
    if seq <= reached:
        return False
    if seq != reached + 1:
        raise StoreError(f"message {seq} of device {device_id} cannot follow {reached}: one is missing")
    connection.execute("UPDATE links SET rx_epoch = ?, rx_seq = ? WHERE device_id = ?", (epoch, seq, device_id))
    known = connection.execute(
        "SELECT 1 FROM link_applied WHERE device_id = ? AND message_id = ?", (device_id, message_id)
    ).fetchone()
    if known is not None:
        return False
    connection.execute("UPDATE links SET applied = applied + 1 WHERE device_id = ?", (device_id,))
    connection.execute(
        """INSERT INTO link_applied (device_id, number, message_id)
        SELECT device_id, applied, ?2 FROM links WHERE device_id = ?1""",
        (device_id, message_id),
    )
    connection.execute(
        """DELETE FROM link_applied WHERE device_id = ?1
        AND number <= (SELECT applied FROM links WHERE device_id = ?1) - ?2""",
        (device_id, REMEMBERED_IDS),
    )
    return True


def _link(connection: Sql, device_id: str, columns: str) -> tuple[bytes, int, int]:
    row = connection.execute(
        f"SELECT {columns} FROM links WHERE device_id = ?",  # noqa: S608 - constants of this file
        (device_id,),
    ).fetchone()
    if row is None:
        raise _no_link(device_id)
    return row[0], row[1], row[2]


def _no_link(device_id: str) -> StoreError:
    return StoreError(f"device {device_id} has no link: it was removed")


def _outbox_cursor(connection: Sql, device_id: str) -> OutboxCursor:
    return OutboxCursor(*_link(connection, device_id, "tx_epoch, acked_seq, last_seq"))


def _inbox_cursor(connection: Sql, device_id: str) -> InboxCursor:
    epoch, seq, _ = _link(connection, device_id, "rx_epoch, rx_seq, applied")
    return InboxCursor(epoch, seq)


def _unacked_after(connection: Sql, device_id: str, seq: int, limit: int) -> tuple[StoredMessage, ...]:
    rows = connection.execute(
        "SELECT seq, payload FROM link_outbox WHERE device_id = ? AND seq > ? ORDER BY seq LIMIT ?",
        (device_id, seq, limit),
    )
    return tuple(StoredMessage(*row) for row in rows)


def _ack(connection: Sql, device_id: str, seq: int) -> None:
    cursor = _outbox_cursor(connection, device_id)
    if seq > cursor.last:
        raise StoreError(f"device {device_id} acked message {seq}, the last one is {cursor.last}")
    if seq > cursor.acked:
        connection.execute("UPDATE links SET acked_seq = ? WHERE device_id = ?", (seq, device_id))
        connection.execute("DELETE FROM link_outbox WHERE device_id = ? AND seq <= ?", (device_id, seq))


def _renew(connection: Sql, device_id: str, epoch: bytes) -> OutboxCursor:
    rows = connection.execute(
        "SELECT message_id, payload, stored_ms FROM link_outbox WHERE device_id = ? ORDER BY seq", (device_id,)
    ).fetchall()
    connection.execute("DELETE FROM link_outbox WHERE device_id = ?", (device_id,))
    connection.executemany(
        "INSERT INTO link_outbox (device_id, seq, message_id, payload, stored_ms) VALUES (?, ?, ?, ?, ?)",
        [(device_id, seq, *row) for seq, row in enumerate(rows, start=1)],
    )
    connection.execute(
        "UPDATE links SET tx_epoch = ?, acked_seq = 0, last_seq = ? WHERE device_id = ?", (epoch, len(rows), device_id)
    )
    return OutboxCursor(epoch, 0, len(rows))
