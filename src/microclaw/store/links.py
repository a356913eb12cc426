"""Durable messages between this host and its devices: an outbox and an inbox for each. Reads no message.

The cursors are those of wire/link/sequence.py. Each method is one transaction of the database, which commits those of
many devices at once. `append_to` joins a transaction of the caller.

In a cluster a device's connection is at one host. Every change of that takes the next number of all, the fence: the
newer connection has the higher one, and whoever wants to know what changed asks for what is above the last that it saw.
What a connection writes is checked against it, in the same transaction: an older connection's host can no longer move
the device's cursors. A host that is alone keeps no such row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import starmap
from typing import Final

from msgspec import Struct

from microclaw.errors import NewerConnection, Overloaded, StoreError
from microclaw.store.database import Database
from microclaw.store.firmware import OfferRow, refused_in
from microclaw.store.rows import Table, TimedTable, delete, exists, insert, reads, scalar, select, update, writes
from microclaw.store.sql import Sql
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor, StoredMessage

MAX_MESSAGES: Final = 1024
MAX_BYTES: Final = 4 * 1024 * 1024
REMEMBERED_IDS: Final = 256  # what an inbox recognises after the other end renewed its epoch
EPOCH_BYTES: Final = 8
_NO_DEVICE: Final = ""
_FENCE: Final = "SELECT fence FROM link_holders WHERE device_id = ?"


class LinkTable(TimedTable):
    """The outboxes and inboxes of one database. `random_bytes` makes epochs.

    StoreError for a device that has none: it was removed. `fence` is that of the device's connection here, in a
    cluster: NewerConnection when there is a newer one.
    """

    def __init__(self, database: Database, *, now_ms: Callable[[], int], random_bytes: Callable[[int], bytes]) -> None:
        super().__init__(database, now_ms)
        self._random_bytes = random_bytes

    @writes
    def open(self, sql: Sql, device_id: str) -> None:
        """Make the device's outbox and inbox, with a new epoch, when it has none."""
        insert(sql, "links", None, over=(), device_id=device_id, tx_epoch=self._random_bytes(EPOCH_BYTES))

    @writes
    def forget(self, sql: Sql, device_id: str) -> None:
        """The device was removed: its messages both ways, events, presence, open tasks and updates go."""
        for table in ("links", "link_events", "link_presence", "link_tasks", "firmware_offers", "firmware_foreign"):
            delete(sql, table, device_id=device_id)
        # A row of no device keeps the highest fence, before this one goes: none is given twice.
        if scalar(sql, _FENCE, (device_id,)) is not None:
            _put_holder(sql, _NO_DEVICE, None)
            delete(sql, "link_holders", device_id=device_id)

    @reads
    def cursors(self, sql: Sql, device_id: str) -> tuple[OutboxCursor, InboxCursor]:
        return _cursors(sql, device_id)

    # What waits for devices

    @reads
    def newest(self, sql: Sql) -> dict[str, int]:
        """The number of the last message that waits for each device that has any."""
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
        """Keep the message; its number. Overloaded when the outbox is full; an id that is there keeps its number.

        `also` is done in the same transaction.
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
        """The messages that are not acked, whatever their numbers are now."""
        rows = sql.execute("SELECT message_id FROM link_outbox WHERE device_id = ?", (device_id,))
        return frozenset(message_id for (message_id,) in rows)

    @writes
    def refused(self, sql: Sql, device_id: str, message_id: bytes, error: str) -> OfferRow | None:
        """The offer that this message made, which the device answered with an error: it is over; None for others."""
        return refused_in(sql, device_id, message_id, error, self._now_ms())

    @writes
    def ack(self, sql: Sql, device_id: str, seq: int, fence: int | None = None) -> None:
        """The device has all up to that number."""
        check_holder(sql, device_id, fence)
        cursor, _ = _cursors(sql, device_id)
        if seq > cursor.last:
            raise StoreError(f"device {device_id} acked message {seq}, the last one is {cursor.last}")
        if seq > cursor.acked:
            update(sql, "links", {"device_id": device_id}, acked_seq=seq)
            sql.execute("DELETE FROM link_outbox WHERE device_id = ? AND seq <= ?", (device_id, seq))

    @writes
    def renew(self, sql: Sql, device_id: str, fence: int | None = None) -> OutboxCursor:
        """Start a new epoch: what is not acked is numbered from 1 again, in order."""
        check_holder(sql, device_id, fence)
        return _renew(sql, device_id, self._random_bytes(EPOCH_BYTES))

    # What came from them

    @writes
    def advance(
        self,
        sql: Sql,
        device_id: str,
        epoch: bytes,
        seq: int,
        message_id: bytes,
        effect: Callable[[Sql], object] = lambda _: None,
        fence: int | None = None,
    ) -> bool:
        """Move the cursor and do `effect` in one transaction; False when the message had its effect already.

        What `effect` raises undoes both.
        """
        check_holder(sql, device_id, fence)
        _, cursor = _cursors(sql, device_id)
        reached = cursor.seq if cursor.epoch == epoch else 0
        if seq <= reached:
            return False
        if seq != reached + 1:
            raise StoreError(f"message {seq} of device {device_id} cannot follow {reached}: one is missing")
        update(sql, "links", {"device_id": device_id}, rx_epoch=epoch, rx_seq=seq)
        if exists(sql, "link_applied", device_id=device_id, message_id=message_id):
            return False
        query = "UPDATE links SET applied = applied + 1 WHERE device_id = ? RETURNING applied"
        number = scalar(sql, query, (device_id,))
        query = "INSERT INTO link_applied (device_id, number, message_id) VALUES (?, ?, ?)"
        sql.execute(query, (device_id, number, message_id))
        query = "DELETE FROM link_applied WHERE device_id = ? AND number <= ?"
        sql.execute(query, (device_id, number - REMEMBERED_IDS))
        effect(sql)
        return True


def append_to(sql: Sql, device_id: str, message_id: bytes, payload: bytes, now_ms: int) -> int:
    """Append within a transaction of the caller (so that what it reports is stored together with it)."""
    row = sql.execute(
        """SELECT last_seq, count(seq), coalesce(sum(length(payload)), 0), max(CASE WHEN message_id = ?1 THEN seq END)
        FROM links LEFT JOIN link_outbox USING (device_id) WHERE device_id = ?2 GROUP BY last_seq""",
        (message_id, device_id),
    ).fetchone()
    if row is None:
        raise _no_link(device_id)
    last, count, size_bytes, there = row
    if there is not None:
        return int(there)
    if count >= MAX_MESSAGES or size_bytes + len(payload) > MAX_BYTES:
        raise Overloaded(
            f"{count} messages ({size_bytes} bytes) wait for device {device_id} already",
            next_step="bring the device back, or remove it",
        )
    seq = int(last) + 1
    update(sql, "links", {"device_id": device_id}, last_seq=seq)
    row = {"device_id": device_id, "seq": seq, "message_id": message_id, "payload": payload, "stored_ms": now_ms}
    insert(sql, "link_outbox", None, **row)
    return seq


def renew_all(sql: Sql, random_bytes: Callable[[int], bytes]) -> int:
    """To be done once to a store from a backup: it does not know the numbers given since. How many links."""
    devices = sql.execute("SELECT device_id FROM links").fetchall()
    for (device_id,) in devices:
        _renew(sql, device_id, random_bytes(EPOCH_BYTES))
    return len(devices)


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
    """`host` is None when the device left."""

    device_id: str
    host: str | None
    fence: int


class LinkHolderTable(Table):
    """The holders of one database's links."""

    @writes
    def take(self, sql: Sql, device_id: str, host: str) -> int:
        """The device's newest connection is at `host` from now on; its fence."""
        return _put_holder(sql, device_id, host)

    @writes
    def leave(self, sql: Sql, device_id: str, fence: int) -> None:
        """That connection is gone; nothing where a newer one is there."""
        if scalar(sql, _FENCE, (device_id,)) == fence:
            _put_holder(sql, device_id, None)

    @reads
    def hosts(self, sql: Sql) -> frozenset[str]:
        """Those that devices are said to be connected to."""
        rows = sql.execute("SELECT DISTINCT host FROM link_holders WHERE host IS NOT NULL")
        return frozenset(host for (host,) in rows)

    @writes
    def leave_host(self, sql: Sql, host: str, *, limit: int = 500) -> int:
        """Devices that are said to be at `host` are connected nowhere; how many were told so, `limit` at most."""
        found = select(sql, LinkHolder, "link_holders WHERE host = ? ORDER BY fence LIMIT ?", (host, limit))
        for holder in found:
            _put_holder(sql, holder.device_id, None)
        return len(found)

    @reads
    def since(self, sql: Sql, fence: int) -> tuple[LinkHolder, ...]:
        """The changes above `fence`, in order."""
        return select(sql, LinkHolder, "link_holders WHERE fence > ? ORDER BY fence", (fence,))


def check_holder(sql: Sql, device_id: str, fence: int | None) -> None:
    """Within a transaction of that connection; NewerConnection when there is one. None is not checked."""
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
