"""The messages that wait for the MQTT broker, and this host's retained topics there. Plain rows; it sends nothing.

The buffer is limited in bytes. If it is full the oldest telemetry is lost first, then the oldest events; both are
counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

from microclaw.host.store.database import Database
from microclaw.host.store.rows import RowTable, Table, insert, one_of, reads, scalar, select, writes
from microclaw.host.store.sql import Sql

Kind: TypeAlias = Literal["event", "telemetry"]
# The kind that is lost first comes first.
KINDS: Final[tuple[Kind, ...]] = ("telemetry", "event")
MAX_BUFFER_BYTES: Final = 32 * 1024 * 1024
# The size of a row without its texts, in the table and its index.
ROW_BYTES: Final = 64
# A full buffer frees a twentieth of its size at once, not a row for each new message.
_ROOM: Final = 20
_SIZE: Final = f"length(topic) + length(payload) + {ROW_BYTES}"


class BufferedMessage(Struct, frozen=True):
    """A message for the broker. `topic` is below the host's own topic. `number` 0 is not stored yet."""

    kind: Kind
    topic: str
    payload: bytes
    number: int = 0


class BufferSize(Struct, frozen=True):
    """The number of waiting messages of a kind, and of those lost because the buffer was full."""

    messages: int = 0
    size_bytes: int = 0
    lost: int = 0


class PublishedDevice(Struct, frozen=True):
    """A device at the broker: its retained topics below the host's own topic, and its entities in Home Assistant.

    `components` gives the platform of each entity by its key.
    """

    device_id: str
    name: str
    topics: tuple[str, ...]
    components: dict[str, str] = field(default_factory=dict)


class MqttBuffer(Table):
    """Messages until the broker has acknowledged them. `sizes` is as of the last write."""

    followed = frozenset({"mqtt_buffer"})

    def __init__(self, database: Database, *, limit_bytes: int = MAX_BUFFER_BYTES) -> None:
        super().__init__(database)
        self._limit_bytes = limit_bytes
        self.sizes: Mapping[Kind, BufferSize] = dict.fromkeys(KINDS, BufferSize())

    async def open(self) -> None:
        """Read the sizes that the last run left."""
        self.sizes = await self.database.read(_sizes)

    @writes
    def add(self, sql: Sql, messages: Sequence[BufferedMessage]) -> None:
        for message in messages:
            self.add_to(sql, message)

    def add_to(self, sql: Sql, message: BufferedMessage) -> None:
        """Add a message within the caller's transaction, so that it is stored together with the caller's rows."""
        insert(sql, "mqtt_buffer", message, number="number")
        size = len(message.topic) + len(message.payload) + ROW_BYTES
        sql.execute("UPDATE mqtt_sizes SET rows = rows + 1, bytes = bytes + ? WHERE kind = ?", (size, message.kind))
        total = scalar(sql, "SELECT sum(bytes) FROM mqtt_sizes")
        if total > self._limit_bytes:
            _make_room(sql, total - self._limit_bytes + self._limit_bytes // _ROOM)
        self.sizes = _sizes(sql)

    @reads
    def after(self, sql: Sql, number: int, limit: int) -> tuple[BufferedMessage, ...]:
        """Return the waiting messages after this number, oldest first."""
        return select(sql, BufferedMessage, "mqtt_buffer WHERE number > ? ORDER BY number LIMIT ?", (number, limit))

    @writes
    def remove(self, sql: Sql, numbers: Collection[int]) -> None:
        """Remove messages that the broker has acknowledged."""
        _delete(sql, f"number {one_of(numbers)}", tuple(numbers))
        self.sizes = _sizes(sql)


class MqttPublishedTable(RowTable[PublishedDevice]):
    """The devices at the broker, so that they can be removed there if a device is removed while the host is offline."""

    _kind = PublishedDevice
    _name = "mqtt_published"
    _key = "device_id"
    _order = "device_id"

    @writes
    def host_id(self, sql: Sql, new_id: str) -> str:
        """Return the id of this host's topics; `new_id` if it has none yet."""
        sql.execute("INSERT INTO mqtt_host (id) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM mqtt_host)", (new_id,))
        return str(scalar(sql, "SELECT id FROM mqtt_host"))


def _sizes(sql: Sql) -> Mapping[Kind, BufferSize]:
    rows = sql.execute("SELECT kind, rows, bytes, lost FROM mqtt_sizes").fetchall()
    return {kind: BufferSize(*numbers) for kind, *numbers in rows}


def _make_room(sql: Sql, needed_bytes: int) -> None:
    """Delete the oldest telemetry, and the oldest events only if no telemetry is left."""
    for kind in KINDS:
        query = f"SELECT number, {_SIZE} FROM mqtt_buffer WHERE kind = ? ORDER BY number LIMIT ?"  # noqa: S608
        last_number = 0
        for number, size in sql.execute(query, (kind, max(needed_bytes, 0) // ROW_BYTES + 1)).fetchall():
            if needed_bytes > 0:
                last_number = number
                needed_bytes = needed_bytes - size
        lost = _delete(sql, "kind = ? AND number <= ?", (kind, last_number))
        sql.execute("UPDATE mqtt_sizes SET lost = lost + ? WHERE kind = ?", (lost, kind))


def _delete(sql: Sql, where: str, values: tuple[object, ...]) -> int:
    sizes = sql.execute(
        f"SELECT kind, count(*), sum({_SIZE}) FROM mqtt_buffer WHERE {where} GROUP BY kind",  # noqa: S608
        values,
    ).fetchall()
    for kind, rows, size in sizes:
        sql.execute("UPDATE mqtt_sizes SET rows = rows - ?, bytes = bytes - ? WHERE kind = ?", (rows, size, kind))
    return sql.execute(f"DELETE FROM mqtt_buffer WHERE {where}", values).rowcount  # noqa: S608 - words of this file
