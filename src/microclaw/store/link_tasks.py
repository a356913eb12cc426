"""Tasks that devices asked this host to run and that have no end yet. It runs none.

`add_to` and `end_in` join transactions of the link's inbox and outbox, so that a task that was taken has one end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from microclaw.errors import TakenOver
from microclaw.store.rows import Table, insert
from microclaw.store.sql import Sql

MAX_OPEN: Final = 8  # a device


@dataclass(frozen=True, slots=True)
class OpenTask:
    """`task` is the device's own name for it, `message_id` the request's. `host` runs it; None outside of a cluster."""

    device_id: str
    task: str
    message_id: bytes
    host: str | None = None


class LinkTaskTable(Table):
    """Open tasks of one database's devices."""

    @property
    def host(self) -> str | None:
        """This host; None for one that runs alone."""
        return self._database.host

    async def open_tasks(self) -> tuple[OpenTask, ...]:
        """The oldest first."""
        return await self._select(OpenTask, "link_tasks ORDER BY taken_ms, device_id, task")

    async def take(self, open_task: OpenTask) -> OpenTask | None:
        """Make it this host's; None where another host took it, or it has its end."""
        taken = replace(open_task, host=self.host)
        query = """UPDATE link_tasks SET host = ? WHERE device_id = ? AND task = ? AND message_id = ?
            AND host IS ?"""
        values = (self.host, open_task.device_id, open_task.task, open_task.message_id, open_task.host)
        return taken if await self._execute(query, values) == 1 else None


def add_to(connection: Sql, open_task: OpenTask, at_ms: int) -> str | None:
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


def end_in(connection: Sql, open_task: OpenTask) -> None:
    """It has its end, which the same transaction puts into the outbox. TakenOver where another host gave it one."""
    query = "DELETE FROM link_tasks WHERE device_id = ? AND task = ?"
    values: tuple[object, ...] = (open_task.device_id, open_task.task)
    if open_task.host is None:
        connection.execute(query, values)
    elif not connection.execute(f"{query} AND host = ?", (*values, open_task.host)).rowcount:
        raise TakenOver(
            f"the task {open_task.task} of {open_task.device_id} has its end from another host: this one could not be "
            "reached for a time",
            next_step="the device asks again where it needs more",
        )
