"""Durable messages between this host and its devices: an outbox and an inbox for each. Reads no message.

The cursors are defined in wire/link/sequence.py. Each method is one transaction, and the database commits the
transactions of many devices at once. `append_to` joins a transaction of the caller.

In a cluster a device is connected to one host. Every change of that gets the next number of a counter, the fence: a
newer connection has a higher one, and a reader asks for the changes above the last fence that it saw. Each write of a
connection is checked against the fence in the same transaction, so the host of an older connection can no longer move
the device's cursors. A host outside of a cluster stores no such row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import starmap
from typing import Final

from msgspec import Struct

from microclaw.errors import NewerConnection, Overloaded, StoreError
from microclaw.host.store.database import Database
from microclaw.host.store.firmware import OfferRow, refuse_offer
from microclaw.host.store.rows import Table, TimedTable, delete, exists, insert, reads, scalar, select, update, writes
from microclaw.host.store.sql import Sql
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor, StoredMessage

MAX_MESSAGES: Final = 1024
MAX_BYTES: Final = 4 * 1024 * 1024
# The ids that an inbox recognises after the other end renewed its epoch.
REMEMBERED_IDS: Final = 256
EPOCH_BYTES: Final = 8
_NO_DEVICE: Final = ""
_FENCE: Final = "SELECT fence FROM link_holders WHERE device_id = ?"


class LinkTable(TimedTable):
    """The outboxes and inboxes of one database. `random_bytes` makes epochs.

    Raises StoreError for a device that has none because it was removed. In a cluster `fence` is the fence of the
    device's connection here: NewerConnection is raised if there is a newer one.
    """

    def __init__(self, database: Database, *, now_ms: Callable[[], int], random_bytes: Callable[[int], bytes]) -> None:
        super().__init__(database, now_ms)
        self._random_bytes = random_bytes

    @writes
    def open(self, sql: Sql, device_id: str) -> None:
        """Make the device's outbox and inbox, with a new epoch, if it has none."""
        insert(sql, "links", None, over=(), device_id=device_id, tx_epoch=self._random_bytes(EPOCH_BYTES))

    @writes
    def forget(self, sql: Sql, device_id: str) -> None:
        """Delete all rows of a removed device: messages both ways, events, presence, open tasks and updates."""
        for table in ("links", "link_events", "link_presence", "link_tasks", "firmware_offers", "firmware_foreign"):
            delete(sql, table, device_id=device_id)
        # A row without a device keeps the highest fence before this row is deleted, so that no fence is used twice.
        if scalar(sql, _FENCE, (device_id,)) is not None:
            _put_holder(sql, _NO_DEVICE, None)
            delete(sql, "link_holders", device_id=device_id)

    @reads
    def cursors(self, sql: Sql, device_id: str) -> tuple[OutboxCursor, InboxCursor]:
        return _cursors(sql, device_id)

    @reads
    def newest(self, sql: Sql) -> dict[str, int]:
        """Return the number of the last waiting message by device id, for devices that have any."""
        return dict(sql.execute("SELECT device_id, max(seq) FROM link_outbox GROUP BY device_id"))

    @writes
    def append(
        self,
        sql: Sql,
        device_id: str,
        message_id: bytes,
        payload: bytes,
        also: Callable[[Sql], object] = lambda _: None,
    ) -> int:
        """Store the message and return its number; an id that is stored already keeps its number.

        `also` is done in the same transaction. Raises Overloaded if the outbox is full.
        """
        seq = append_to(sql, device_id, message_id, payload, self._now_ms())
        also(sql)
        return seq

    @reads
    def unacked_after(self, sql: Sql, device_id: str, seq: int, limit: int) -> Sequence[StoredMessage]:
        query = "SELECT seq, payload FROM link_outbox WHERE device_id = ? AND seq > ? ORDER BY seq LIMIT ?"
        return tuple(starmap(StoredMessage, sql.execute(query, (device_id, seq, limit))))

    @reads
    def waiting_ids(self, sql: Sql, device_id: str) -> frozenset[bytes]:
        """Return the ids of the messages that are not acked, whatever their numbers are now."""
        rows = sql.execute("SELECT message_id FROM link_outbox WHERE device_id = ?", (device_id,))
        return frozenset(message_id for (message_id,) in rows)

    @writes
    def refuse_offer(self, sql: Sql, device_id: str, message_id: bytes, error: str) -> OfferRow | None:
        """End the offer in a message that the device answered with an error; return None if it has no offer."""
        return refuse_offer(sql, device_id, message_id, error, self._now_ms())

    @writes
    def ack(self, sql: Sql, device_id: str, seq: int, fence: int | None = None) -> None:
        """Note that the device has all messages up to that number."""
        check_holder(sql, device_id, fence)
        cursor, _ = _cursors(sql, device_id)
        if seq > cursor.last:
            raise StoreError(f"device {device_id} acked message {seq}, the last one is {cursor.last}")
        if seq > cursor.acked:
            update(sql, "links", {"device_id": device_id}, acked_seq=seq)
            sql.execute("DELETE FROM link_outbox WHERE device_id = ? AND seq <= ?", (device_id, seq))

    @writes
    def renew(self, sql: Sql, device_id: str, fence: int | None = None) -> OutboxCursor:
        """Start a new epoch: messages that are not acked are numbered from 1 again, in order."""
        check_holder(sql, device_id, fence)
        return _renew(sql, device_id, self._random_bytes(EPOCH_BYTES))

    @writes
    def advance(
        self,
        sql: Sql,
        device_id: str,
        epoch: bytes,
        seq: int,
        message_id: bytes,
        *,
        effect: Callable[[Sql], object] = lambda _: None,
        fence: int | None = None,
    ) -> bool:
        """Move the cursor and do `effect` in one transaction; return False if the message had its effect before.

        An error of `effect` undoes both.
        """
        check_holder(sql, device_id, fence)
        _, cursor = _cursors(sql, device_id)
        reached = cursor.seq if cursor.epoch == epoch else 0
        if seq <= reached:
            return False
        if seq != reached + 1:
            raise StoreError(f"message {seq} of device {device_id} cannot follow {reached}: one is missing")
        update(sql, "links", {"device_id": device_id}, rx_epoch=epoch, rx_seq=seq)
        # The other end may have renewed its epoch and sent the message again under a new number.
        if exists(sql, "link_applied", device_id=device_id, message_id=message_id):
            return False
        _remember_id(sql, device_id, message_id)
        effect(sql)
        return True


def append_to(sql: Sql, device_id: str, message_id: bytes, payload: bytes, now_ms: int) -> int:
    """Append within a transaction of the caller, so that what the message reports is stored together with it."""
    row = sql.execute(
        """SELECT last_seq, count(seq), coalesce(sum(length(payload)), 0), max(CASE WHEN message_id = ?1 THEN seq END)
        FROM links LEFT JOIN link_outbox USING (device_id) WHERE device_id = ?2 GROUP BY last_seq""",
        (message_id, device_id),
    ).fetchone()
    if row is None:
        raise _no_link(device_id)
    last_seq, count, size_bytes, stored_seq = row
    if stored_seq is not None:
        return int(stored_seq)
    if count >= MAX_MESSAGES or size_bytes + len(payload) > MAX_BYTES:
        raise Overloaded(
            f"{count} messages ({size_bytes} bytes) wait for device {device_id} already",
            next_step="bring the device back, or remove it",
        )
    seq = int(last_seq) + 1
    update(sql, "links", {"device_id": device_id}, last_seq=seq)
    row = {"device_id": device_id, "seq": seq, "message_id": message_id, "payload": payload, "stored_ms": now_ms}
    insert(sql, "link_outbox", None, **row)
    return seq


def renew_all(sql: Sql, random_bytes: Callable[[int], bytes]) -> int:
    """Renew the epoch of every link, once, in a store from a backup; return how many links.

    Such a store does not know the numbers that were used since the backup.
    """
    devices = sql.execute("SELECT device_id FROM links").fetchall()
    for (device_id,) in devices:
        _renew(sql, device_id, random_bytes(EPOCH_BYTES))
    return len(devices)


def _remember_id(sql: Sql, device_id: str, message_id: bytes) -> None:
    """Store the id of a message that has its effect now, and forget all but the newest REMEMBERED_IDS."""
    query = "UPDATE links SET applied = applied + 1 WHERE device_id = ? RETURNING applied"
    number = scalar(sql, query, (device_id,))
    query = "INSERT INTO link_applied (device_id, number, message_id) VALUES (?, ?, ?)"
    sql.execute(query, (device_id, number, message_id))
    query = "DELETE FROM link_applied WHERE device_id = ? AND number <= ?"
    sql.execute(query, (device_id, number - REMEMBERED_IDS))


def _renew(sql: Sql, device_id: str, epoch: bytes) -> OutboxCursor:
    rows = sql.execute(
        "SELECT message_id, payload, stored_ms FROM link_outbox WHERE device_id = ? ORDER BY seq", (device_id,)
    ).fetchall()
    delete(sql, "link_outbox", device_id=device_id)
    sql.executemany(
        "INSERT INTO link_outbox (device_id, seq, message_id, payload, stored_ms) VALUES (?, ?, ?, ?, ?)",
        [(device_id, seq, *row) for seq, row in enumerate(rows, start=1)],
    )
    update(sql, "links", {"device_id": device_id}, tx_epoch=epoch, acked_seq=0, last_seq=len(rows))
    return OutboxCursor(epoch, 0, len(rows))


def _cursors(sql: Sql, device_id: str) -> tuple[OutboxCursor, InboxCursor]:
    query = "SELECT tx_epoch, acked_seq, last_seq, rx_epoch, rx_seq FROM links WHERE device_id = ?"
    row = sql.execute(query, (device_id,)).fetchone()
    if row is None:
        raise _no_link(device_id)
    return OutboxCursor(*row[:3]), InboxCursor(*row[3:])


def _no_link(device_id: str) -> StoreError:
    return StoreError(f"device {device_id} has no link: it was removed")


class LinkHolder(Struct, frozen=True):
    """The host that a device is connected to; `host` is None after the device left."""

    device_id: str
    host: str | None
    fence: int


class LinkHolderTable(Table):
    """The holders of one database's links."""

    @writes
    def take(self, sql: Sql, device_id: str, host: str) -> int:
        """Note that the device's newest connection is at `host`; return its fence."""
        return _put_holder(sql, device_id, host)

    @writes
    def leave(self, sql: Sql, device_id: str, fence: int) -> None:
        """Note that this connection has ended. Do nothing if there is a newer one."""
        if scalar(sql, _FENCE, (device_id,)) == fence:
            _put_holder(sql, device_id, None)

    @reads
    def hosts(self, sql: Sql) -> frozenset[str]:
        """Return the hosts that have connected devices, by their rows."""
        rows = sql.execute("SELECT DISTINCT host FROM link_holders WHERE host IS NOT NULL")
        return frozenset(host for (host,) in rows)

    @writes
    def leave_host(self, sql: Sql, host: str, *, limit: int = 500) -> int:
        """Note that the devices of `host` are connected to no host, up to `limit` of them; return how many."""
        holders = select(sql, LinkHolder, "link_holders WHERE host = ? ORDER BY fence LIMIT ?", (host, limit))
        for holder in holders:
            _put_holder(sql, holder.device_id, None)
        return len(holders)

    @reads
    def since(self, sql: Sql, fence: int) -> tuple[LinkHolder, ...]:
        """Return the changes above `fence`, in order."""
        return select(sql, LinkHolder, "link_holders WHERE fence > ? ORDER BY fence", (fence,))


def check_holder(sql: Sql, device_id: str, fence: int | None) -> None:
    """Raise NewerConnection if a newer connection than `fence` exists. None is not checked."""
    if fence is not None and scalar(sql, _FENCE, (device_id,)) != fence:
        raise NewerConnection(
            f"device {device_id} has a newer connection to another host", next_step="this connection is over"
        )


def _put_holder(sql: Sql, device_id: str, host: str | None) -> int:
    fence: int = scalar(
        sql,
        """INSERT INTO link_holders (device_id, host, fence)
        SELECT ?, ?, coalesce(max(fence), 0) + 1 FROM link_holders WHERE true
        ON CONFLICT (device_id) DO UPDATE SET host = excluded.host, fence = excluded.fence RETURNING fence""",
        (device_id, host),
    )
    return fence
