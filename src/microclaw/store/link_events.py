"""What devices sent over the link: their durable messages as they came, and when each was last connected.

`add_to` joins the transaction that moves the inbox's cursor, so that an acked message is here exactly once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from microclaw.store.following import Refresh
from microclaw.store.rows import JSON_TUPLE, Table, one_of
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

    async def presence(self) -> tuple[Presence, ...]:
        """Every device that ever connected."""
        return await self._select(Presence, "link_presence")

    async def seen_at(self) -> dict[str, int]:
        """When each device that ever connected was last seen, in Unix ms."""
        return await self._database.read(
            lambda connection: dict(connection.execute("SELECT device_id, seen_ms FROM link_presence").fetchall())
        )

    async def presence_of(self, device_ids: Sequence[str]) -> tuple[Presence, ...]:
        """Of these devices."""
        return await self._select(Presence, f"link_presence WHERE device_id {one_of(device_ids)}", device_ids)

    async def seen(self, presence: Presence) -> None:
        await self._insert("link_presence", presence, over=("device_id",))

    async def seen_with(self, host: str, at_ms: int) -> int:
        """That host was there until then: devices whose newest connection is to it, too. How many were seen less."""
        where = "seen_ms < ? AND device_id IN (SELECT device_id FROM link_holders WHERE host = ?)"
        news = await self._select(Presence, f"link_presence WHERE {where} LIMIT 1", (at_ms, host))
        if not news:  # another host has written it
            return 0
        return await self._execute(f"UPDATE link_presence SET seen_ms = ? WHERE {where}", (at_ms, at_ms, host))  # noqa: S608

    async def since(self, device_id: str, number: int, limit: int = 100) -> Sequence[EventRow]:
        """The device's events after `number`, oldest first."""
        where = "link_events WHERE device_id = ? AND number > ? ORDER BY number LIMIT ?"
        return await self._select(EventRow, where, (device_id, number, limit))

    async def after(self, number: int, limit: int) -> Sequence[EventRow]:
        """Events of all devices after `number`, oldest first."""
        return await self._select(EventRow, "link_events WHERE number > ? ORDER BY number LIMIT ?", (number, limit))

    def follow(self, refresh: Refresh) -> None:
        """As Database.follow, for events."""
        self._database.follow(("link_events",), refresh)

    async def forget(self, device_id: str) -> None:
        """The device was removed: its events, presence, open tasks and updates go."""
        await self._database.write(lambda connection: _forget(connection, device_id))


def add_to(connection: Sql, device_id: str, type_: str, name: str, payload: bytes, received_ms: int) -> None:
    """Keep an event within the caller's transaction."""
    connection.execute(
        "INSERT INTO link_events (device_id, type, name, payload, received_ms) VALUES (?, ?, ?, ?, ?)",
        (device_id, type_, name, payload, received_ms),
    )
    connection.execute(
        """DELETE FROM link_events WHERE device_id = ?1 AND number <= coalesce(
            (SELECT number FROM link_events WHERE device_id = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2), 0)""",
        (device_id, KEPT_EVENTS),
    )


def _forget(connection: Sql, device_id: str) -> None:
    connection.execute("DELETE FROM link_events WHERE device_id = ?", (device_id,))
    connection.execute("DELETE FROM link_presence WHERE device_id = ?", (device_id,))
    connection.execute("DELETE FROM link_tasks WHERE device_id = ?", (device_id,))
    connection.execute("DELETE FROM firmware_offers WHERE device_id = ?", (device_id,))
    connection.execute("DELETE FROM firmware_foreign WHERE device_id = ?", (device_id,))
