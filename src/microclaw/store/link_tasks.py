"""Tasks that devices asked this host to run and that have no end yet. It runs none.

`add_to` and `end_in` join transactions of the link's inbox and outbox, so that a task that was taken has one end.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from microclaw.store.rows import Table, insert

MAX_OPEN: Final = 8  # a device


@dataclass(frozen=True, slots=True)
class OpenTask:
    """`task` is the device's own name for it, `message_id` the request's."""

    device_id: str
    task: str
    message_id: bytes


class LinkTaskTable(Table):
    """Open tasks of one database's devices."""

    async def open_tasks(self) -> tuple[OpenTask, ...]:
        """The oldest first."""
        return await self._select(OpenTask, "link_tasks ORDER BY taken_ms, rowid")


def add_to(connection: sqlite3.Connection, open_task: OpenTask, at_ms: int) -> str | None:
    """Keep it as open; or why not, for the device: it has one of that name, or too many."""
    names = [
        str(name)
        for (name,) in connection.execute("SELECT task FROM link_tasks WHERE device_id = ?", (open_task.device_id,))
    ]
    if open_task.task in names:
        return "task_open: a task of that name runs, and goes on; next: wait for its end, or take another name"
    if len(names) >= MAX_OPEN:
        return f"too_many_tasks: {len(names)} tasks of this device are open; next: wait for an end, or cancel one"
    insert(connection, "link_tasks", open_task, taken_ms=at_ms)
    return None


def end_in(connection: sqlite3.Connection, open_task: OpenTask) -> None:
    """It has its end, which the same transaction puts into the outbox."""
    connection.execute("DELETE FROM link_tasks WHERE device_id = ? AND task = ?", (open_task.device_id, open_task.task))
