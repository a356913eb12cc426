"""What devices sent over the link: their durable messages as they came, and when each was last connected.

`add_to` joins the transaction that moves the inbox's cursor, so that an acked message is here exactly once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from microclaw.store.rows import JSON_TUPLE, Table, insert, one_of, reads, select, writes
from microclaw.store.sql import Sql

KEPT_EVENTS: Final = 1000  # a device; the oldest give way


@dataclass(frozen=True, slots=True)
class UpdateFacts:
    """What a device's `hello` said of updates, and its firmware's name and version; `keys` are those it trusts."""

    name: str
    version: str
    board: str
    channel: str
    kinds: tuple[str, ...]
    keys: tuple[str, ...]
    security_version: int
    revision: str = ""


def _read_facts(text: str | None) -> UpdateFacts | None:
    if text is None:
        return None
    told = json.loads(text)
    return UpdateFacts(**{**told, "kinds": tuple(told["kinds"]), "keys": tuple(told["keys"])})


def _write_facts(facts: UpdateFacts | None) -> str | None:
    return None if facts is None else json.dumps(asdict(facts))


@dataclass(frozen=True, slots=True)
class Presence:
    """What a device's last `hello` said, and when it was last connected."""

    device_id: str
    firmware: str
    board: str
    capabilities: tuple[str, ...] = field(metadata=JSON_TUPLE)
    address: str
    seen_ms: int
    kinds: tuple[str, ...] = field(default=(), metadata=JSON_TUPLE)
    ota: UpdateFacts | None = field(default=None, metadata={"read": _read_facts, "write": _write_facts})


@dataclass(frozen=True, slots=True)
class EventRow:
    """`payload` is the message as CBOR; `number` grows by time over all devices."""

    number: int
    device_id: str
    type: str
    name: str
    payload: bytes
    received_ms: int


class LinkEventTable(Table):
    """Presence and events of one database's devices."""

    followed = ("link_events",)

    @reads
    def presence(self, sql: Sql) -> tuple[Presence, ...]:
        """Every device that ever connected."""
        return select(sql, Presence, "link_presence")

    @reads
    def seen_at(self, sql: Sql) -> dict[str, int]:
        """When each device that ever connected was last seen, in Unix ms."""
        return dict(sql.execute("SELECT device_id, seen_ms FROM link_presence"))

    @reads
    def presence_of(self, sql: Sql, device_ids: Sequence[str]) -> tuple[Presence, ...]:
        """Of these devices."""
        return select(sql, Presence, f"link_presence WHERE device_id {one_of(device_ids)}", device_ids)

    @writes
    def seen(self, sql: Sql, presence: Presence) -> None:
        insert(sql, "link_presence", presence, over=("device_id",))

    @writes
    def seen_with(self, sql: Sql, host: str, at_ms: int) -> int:
        """That host was there until then: devices whose newest connection is to it, too. How many were seen less."""
        query = """UPDATE link_presence SET seen_ms = ?1 WHERE seen_ms < ?1
            AND device_id IN (SELECT device_id FROM link_holders WHERE host = ?2)"""
        return sql.execute(query, (at_ms, host)).rowcount

    @reads
    def since(self, sql: Sql, device_id: str, number: int, limit: int = 100) -> Sequence[EventRow]:
        """The device's events after `number`, oldest first."""
        where = "link_events WHERE device_id = ? AND number > ? ORDER BY number LIMIT ?"
        return select(sql, EventRow, where, (device_id, number, limit))

    @reads
    def after(self, sql: Sql, number: int, limit: int) -> Sequence[EventRow]:
        """Events of all devices after `number`, oldest first."""
        return select(sql, EventRow, "link_events WHERE number > ? ORDER BY number LIMIT ?", (number, limit))

    @writes
    def forget(self, sql: Sql, device_id: str) -> None:
        """The device was removed: its events, presence, open tasks and updates go."""
        for table in ("link_events", "link_presence", "link_tasks", "firmware_offers", "firmware_foreign"):
            sql.execute(f"DELETE FROM {table} WHERE device_id = ?", (device_id,))  # noqa: S608 - names of ours


def add_to(sql: Sql, device_id: str, type_: str, name: str, payload: bytes, received_ms: int) -> None:
    """Keep an event within the caller's transaction."""
    sql.execute(
        "INSERT INTO link_events (device_id, type, name, payload, received_ms) VALUES (?, ?, ?, ?, ?)",
        (device_id, type_, name, payload, received_ms),
    )
    sql.execute(
        """DELETE FROM link_events WHERE device_id = ?1 AND number <= coalesce(
            (SELECT number FROM link_events WHERE device_id = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2), 0)""",
        (device_id, KEPT_EVENTS),
    )
