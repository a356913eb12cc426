"""The messages that devices send over the link, the time of their last connection, and their open tasks. It runs none.

Durable messages are stored as they came; an open task came from a device to this host and has no end yet.
`add_event` and `add_task` join the transaction that moves the inbox's cursor, so that an acked message is here exactly
once; `end_task` joins the transaction of the outbox, so that an accepted task has one end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict, replace

from microclaw.errors import TakenOver
from microclaw.hardware.boards.firmware import UpdateFacts
from microclaw.host.store.rows import RowTable, Table, delete, insert, keep_newest, reads, select, update, writes
from microclaw.host.store.sql import Sql

# Of one device; the oldest are deleted first.
KEPT_EVENTS: Final = 1000
# Tasks of one device.
MAX_OPEN: Final = 8


class Presence(Struct, frozen=True):
    """A device's last `hello`, and when it was last connected."""

    device_id: str
    firmware: str
    board: str
    capabilities: tuple[str, ...]
    address: str
    seen_ms: int
    kinds: tuple[str, ...] = ()
    ota: UpdateFacts | None = None


class EventRow(Struct, frozen=True):
    """An event of a device. `payload` is the message as CBOR; `number` grows with time over all devices."""

    number: int
    device_id: str
    type: str
    name: str
    payload: bytes
    received_ms: int


class LinkEventTable(RowTable[Presence]):
    """Presence of every device that ever connected, and events."""

    _kind = Presence
    _name = "link_presence"
    _key = "device_id"
    _order = "device_id"

    followed = frozenset({"link_events"})

    @reads
    def seen_at(self, sql: Sql) -> dict[str, int]:
        """Return the time when each device was last seen, in Unix ms."""
        return dict(sql.execute("SELECT device_id, seen_ms FROM link_presence"))

    @writes
    def mark_seen_with(self, sql: Sql, host: str, at_ms: int) -> int:
        """Note that the devices connected to `host` were there until then; return how many were last seen before."""
        query = """UPDATE link_presence SET seen_ms = ?1 WHERE seen_ms < ?1
            AND device_id IN (SELECT device_id FROM link_holders WHERE host = ?2)"""
        return sql.execute(query, (at_ms, host)).rowcount

    @reads
    def after(self, sql: Sql, number: int, limit: int) -> Sequence[EventRow]:
        """Return events of all devices after `number`, oldest first."""
        return select(sql, EventRow, "link_events WHERE number > ? ORDER BY number LIMIT ?", (number, limit))


class OpenTask(Struct, frozen=True):
    """A task without an end. `task` is the device's own name for it, `message_id` the id of the request.

    `host` runs it; None outside of a cluster.
    """

    device_id: str
    task: str
    message_id: bytes
    host: str | None = None


class LinkTaskTable(Table):
    """Open tasks of one database's devices."""

    @reads
    def open_tasks(self, sql: Sql) -> tuple[OpenTask, ...]:
        """Return the open tasks, oldest first."""
        return select(sql, OpenTask, "link_tasks ORDER BY taken_ms, device_id, task")

    @writes
    def take(self, sql: Sql, task: OpenTask) -> OpenTask | None:
        """Give the task to this host; return None if another host took it, or if it has its end."""
        taken_count = update(sql, "link_tasks", asdict(task), host=self.host).rowcount
        if taken_count:
            return replace(task, host=self.host)
        return None


def add_event(sql: Sql, device_id: str, type_: str, name: str, payload: bytes, *, received_ms: int) -> None:
    """Store an event within the caller's transaction."""
    insert(sql, "link_events", EventRow(0, device_id, type_, name, payload, received_ms), number="number")
    keep_newest(sql, "link_events", KEPT_EVENTS, "number", device_id=device_id)


def add_task(sql: Sql, open_task: OpenTask, at_ms: int) -> str | None:
    """Store an open task; return None, or the refusal for the device if it has one of that name, or too many."""
    tasks = select(sql, OpenTask, "link_tasks WHERE device_id = ?", (open_task.device_id,))
    if any(task.task == open_task.task for task in tasks):
        return "task_open: a task of that name is still running; next: wait for its end, or use another name"
    if len(tasks) >= MAX_OPEN:
        return f"too_many_tasks: {len(tasks)} tasks of this device are open; next: wait for an end, or cancel one"
    insert(sql, "link_tasks", open_task, taken_ms=at_ms)
    return None


def end_task(sql: Sql, open_task: OpenTask) -> None:
    """End a task in the transaction that puts its end into the outbox. Raises TakenOver if another host ended it."""
    key = {"device_id": open_task.device_id, "task": open_task.task}
    if open_task.host is None:
        delete(sql, "link_tasks", **key)
    elif not delete(sql, "link_tasks", **key, host=open_task.host).rowcount:
        raise TakenOver(
            f"the task {open_task.task} of {open_task.device_id} has its end from another host: this one could not be "
            "reached for a time",
            next_step="the device asks again if it needs more",
        )
