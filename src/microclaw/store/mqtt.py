"""What waits for the MQTT broker, and what the broker holds of this host. Plain rows; it sends nothing.

The buffer is bounded in bytes. When it is full the oldest telemetry is lost first, events last, and counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from microclaw.store.database import Database
from microclaw.store.rows import JSON_TUPLE, Table, one_of
from microclaw.store.sql import Sql

Kind: TypeAlias = Literal["event", "telemetry"]
KINDS: Final[tuple[Kind, ...]] = ("telemetry", "event")  # what is lost first comes first
MAX_BUFFER_BYTES: Final = 32 * 1024 * 1024
ROW_BYTES: Final = 64  # of a row beside its texts, in the table and its index
_ROOM: Final = 20  # a full buffer gives up a part of so many, not a row for each new one
_CHUNK: Final = 256
_SIZE: Final = f"length(topic) + length(payload) + {ROW_BYTES}"


@dataclass(frozen=True, slots=True)
class BufferedMessage:
    """`topic` is below the host's own one."""

    number: int
    kind: Kind
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class NewMessage:
    kind: Kind
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class BufferSize:
    """How much of a kind waits, and how much was lost because the buffer was full."""

    messages: int = 0
    size_bytes: int = 0
    lost: int = 0


def _json(components: Mapping[str, str]) -> str:
    return json.dumps(dict(components))


@dataclass(frozen=True, slots=True)
class PublishedDevice:
    """What the broker holds of a device: retained topics below the host's own, and its entities in Home Assistant:
    each one's platform by its key."""

    device_id: str
    name: str
    topics: tuple[str, ...] = field(metadata=JSON_TUPLE)
    components: Mapping[str, str] = field(default_factory=dict, metadata={"read": json.loads, "write": _json})


class MqttBuffer(Table):
    """Messages until the broker has acknowledged them. `sizes` is as the last write left them."""

    def __init__(self, database: Database, *, limit_bytes: int = MAX_BUFFER_BYTES) -> None:
        super().__init__(database)
        self._limit_bytes = limit_bytes
        self.sizes: Mapping[Kind, BufferSize] = dict.fromkeys(KINDS, BufferSize())

    async def open(self) -> None:
        """Read the sizes that the last run left."""
        self.sizes = await self._database.read(_sizes)

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` when another host of a cluster buffered messages, or sent some."""
        self._database.listen(lambda tables: changed() if "mqtt_buffer" in tables else None)

    async def add(self, messages: Sequence[NewMessage]) -> None:
        """They are on the disk when it returns."""

        def work(connection: Sql) -> None:
            for message in messages:
                self.add_to(connection, message)

        await self._database.write(work)

    def add_to(self, connection: Sql, message: NewMessage) -> None:
        """In the caller's transaction, so that what it keeps is here, too."""
        connection.execute(
            "INSERT INTO mqtt_buffer (kind, topic, payload) VALUES (?, ?, ?)",
            (message.kind, message.topic, message.payload),
        )
        size = len(message.topic) + len(message.payload) + ROW_BYTES
        connection.execute(
            "UPDATE mqtt_sizes SET rows = rows + 1, bytes = bytes + ? WHERE kind = ?", (size, message.kind)
        )
        (total,) = connection.execute("SELECT sum(bytes) FROM mqtt_sizes").fetchone()
        if total > self._limit_bytes:
            _make_room(connection, total - self._limit_bytes + self._limit_bytes // _ROOM)
        self.sizes = _sizes(connection)

    async def after(self, number: int, limit: int) -> Sequence[BufferedMessage]:
        """What waits after this number, oldest first."""
        return await self._select(
            BufferedMessage, "mqtt_buffer WHERE number > ? ORDER BY number LIMIT ?", (number, limit)
        )

    async def remove(self, numbers: Collection[int]) -> None:
        """The broker has them."""

        def work(connection: Sql) -> None:
            _delete(connection, numbers, lost=False)
            self.sizes = _sizes(connection)

        await self._database.write(work)


class MqttPublishedTable(Table):
    """What the broker holds, so that it can be taken back when a device goes while nobody is connected."""

    async def host_id(self, new_id: str) -> str:
        """The id of this host's topics: `new_id` where it has none."""

        def work(connection: Sql) -> str:
            row = connection.execute("SELECT id FROM mqtt_host").fetchone()
            if row is None:
                connection.execute("INSERT INTO mqtt_host (id) VALUES (?)", (new_id,))
            return new_id if row is None else str(row[0])

        return await self._database.write(work)

    async def all(self) -> tuple[PublishedDevice, ...]:
        return await self._select(PublishedDevice, "mqtt_published")

    async def put(self, device: PublishedDevice) -> None:
        await self._insert("mqtt_published", device, over=("device_id",))

    async def forget(self, device_id: str) -> None:
        await self._execute("DELETE FROM mqtt_published WHERE device_id = ?", (device_id,))


def _sizes(connection: Sql) -> Mapping[Kind, BufferSize]:
    rows = connection.execute("SELECT kind, rows, bytes, lost FROM mqtt_sizes").fetchall()
    return {kind: BufferSize(*numbers) for kind, *numbers in rows}


def _make_room(connection: Sql, wanted_bytes: int) -> None:
    """Lose the oldest telemetry, and only where there is none the oldest events."""
    for kind in KINDS:
        while wanted_bytes > 0:
            query = f"SELECT number, {_SIZE} FROM mqtt_buffer WHERE kind = ? ORDER BY number LIMIT ?"  # noqa: S608
            rows = connection.execute(query, (kind, _CHUNK)).fetchall()
            if not rows:
                break
            gone: list[int] = []
            for number, size in rows:
                if wanted_bytes <= 0:
                    break
                gone.append(number)
                wanted_bytes -= size
            _delete(connection, gone, lost=True)


def _delete(connection: Sql, numbers: Collection[int], *, lost: bool) -> None:
    chosen = f"FROM mqtt_buffer WHERE number {one_of(numbers)}"
    values = tuple(numbers)
    found = connection.execute(f"SELECT kind, count(*), sum({_SIZE}) {chosen} GROUP BY kind", values).fetchall()
    connection.execute(f"DELETE {chosen}", values)
    for kind, rows, size in found:
        connection.execute(
            "UPDATE mqtt_sizes SET rows = rows - ?1, bytes = bytes - ?2, lost = lost + ?3 WHERE kind = ?4",
            (rows, size, rows if lost else 0, kind),
        )
