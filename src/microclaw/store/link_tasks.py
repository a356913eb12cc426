"""Tasks that devices asked this host to run and that have no end yet. It runs none.

`add_to` and `end_in` join transactions of the link's inbox and outbox, so that a task that was taken has one end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from microclaw.errors import TakenOver
from microclaw.store.rows import Table, insert, reads, select, writes
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

    @reads
    def open_tasks(self, sql: Sql) -> tuple[OpenTask, ...]:
        """The oldest first."""
        return select(sql, OpenTask, "link_tasks ORDER BY taken_ms, device_id, task")

    @writes
    def take(self, sql: Sql, task: OpenTask) -> OpenTask | None:
        """Make it this host's; None where another host took it, or it has its end."""
        query = "UPDATE link_tasks SET host = ? WHERE device_id = ? AND task = ? AND message_id = ? AND host IS ?"
        taken = sql.execute(query, (self.host, task.device_id, task.task, task.message_id, task.host)).rowcount
        return replace(task, host=self.host) if taken else None


def add_to(sql: Sql, open_task: OpenTask, at_ms: int) -> str | None:
    """Keep it as open; or why not, for the device: it has one of that name, or too many."""
    tasks = select(sql, OpenTask, "link_tasks WHERE device_id = ?", (open_task.device_id,))
    if any(one.task == open_task.task for one in tasks):
        return "task_open: a task of that name runs, and goes on; next: wait for its end, or take another name"
    if len(tasks) >= MAX_OPEN:
        return f"too_many_tasks: {len(tasks)} tasks of this device are open; next: wait for an end, or cancel one"
    insert(sql, "link_tasks", open_task, taken_ms=at_ms)
    return None


def end_in(sql: Sql, open_task: OpenTask) -> None:
    """It has its end, which the same transaction puts into the outbox. TakenOver where another host gave it one."""
    query = "DELETE FROM link_tasks WHERE device_id = ? AND task = ?"
    values: tuple[object, ...] = (open_task.device_id, open_task.task)
    if open_task.host is None:
        sql.execute(query, values)
    elif not sql.execute(f"{query} AND host = ?", (*values, open_task.host)).rowcount:
        raise TakenOver(
            f"the task {open_task.task} of {open_task.device_id} has its end from another host: this one could not be "
            "reached for a time",
            next_step="the device asks again where it needs more",
        )
