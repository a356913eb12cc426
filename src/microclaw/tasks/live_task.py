"""A task that waits or runs: what it printed, room in the queue, and reports on it: lines of the security log (without
code and output), news, reasons. It starts and stores nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from microclaw.audit.event import AuditEvent, AuditKind
from microclaw.auth.approvals import ApprovalOutcome
from microclaw.auth.people import person_behind
from microclaw.errors import Overloaded
from microclaw.events import TaskChanged
from microclaw.sandbox.job import SandboxJob, SandboxLimits
from microclaw.store.tasks import TaskEnding, TaskRow
from microclaw.tasks.operations import DEVICE
from microclaw.tasks.order import TaskOrder

PAGE_BYTES: Final = 64 * 1024  # of a task's output, in one look


@dataclass(slots=True, eq=False)
class LiveTask:
    """A task that waits or runs. `output` is all that it printed, at most `limits.output_bytes`."""

    row: TaskRow
    job: SandboxJob
    approval: str
    yes: ApprovalOutcome | None  # that somebody said to the question for it
    output: bytearray = field(default_factory=bytearray)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: asyncio.Task[TaskRow] = field(init=False)  # its wait and its run
    whole: asyncio.Task[None] = field(init=False)  # the same, until its end is kept
    stop: TaskEnding = ""  # why it is to end early: cancelled, interrupted

    def printed(self, data: bytes) -> None:
        self.output += data
        self.wake()

    def wake(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


class TaskView(Struct, frozen=True):
    """A task and a page of what it printed: `output` begins at `begins`, later than asked where that is not kept.

    `more` says that the next page, from `ends` on, is there already.
    """

    row: TaskRow
    output: bytes
    begins: int
    ends: int
    more: bool = False


def page(row: TaskRow, kept: bytes | bytearray, after: int, *, first: int = 0, size: int | None = None) -> TaskView:
    """Cut a page from `after` on, of `kept`, which begins at byte `first`. `size` is how much there is in all."""
    begins = max(after, first)
    output = bytes(kept[begins - first : begins - first + PAGE_BYTES])
    ends = begins + len(output)
    return TaskView(row, output, begins, ends, ends < (first + len(kept) if size is None else size))


def check_room(waiting: Collection[LiveTask], places: int, held_mb: int, person_id: str) -> None:
    """Raises Overloaded when all places of the queue, or all that this asker may have, are taken; or its memory.

    One asker has at most half of both, and all devices together three quarters, so that somebody else can come in.
    """
    asker, taken, held = person_behind(person_id), Counter[str](), Counter[str]()
    for live in waiting:
        taken[person_behind(live.row.person_id)] += 1
        held[person_behind(live.row.person_id)] += sum(len(data) for data in live.job.files.values())
    of_devices = sum(count for one, count in taken.items() if one.startswith(DEVICE))
    for count, most, whose in (
        (taken.total(), places, "tasks"),
        (taken[asker], (places + 1) // 2, "tasks of the same asker"),
        (of_devices if asker.startswith(DEVICE) else 0, (3 * places + 3) // 4, "tasks of devices"),
        (held.total() >> 20, held_mb, "MB of tasks' files"),
        (held[asker] >> 20, (held_mb + 1) // 2, "MB of files of the same asker"),
    ):
        if count >= most:
            step = "wait for some to end, or cancel one: microclaw task list"
            raise Overloaded(f"{count} {whose} wait already, {most} is the limit", next_step=step)


def changed(row: TaskRow) -> TaskChanged:
    return TaskChanged(
        row.asked_by if row.device_id else "",
        row.ended_ms or row.started_ms or row.created_ms,
        row.number,
        row.state,
        row.ending,
        row.language,
        by=row.asked_by,
        person_id=row.person_id,
    )


def refused_event(order: TaskOrder, why: str) -> AuditEvent:
    text = f"{order.language} code of {len(order.code):,} characters was not run: {why}"
    about = None if order.device_id is None else order.asked_by
    return AuditEvent(AuditKind.TASK_REFUSED, text, by=order.asked_by, about=about)


def started_event(live: LiveTask) -> AuditEvent:
    row, limits, yes = live.row, live.job.limits, live.yes
    network = "no network" if row.allow is None else f"network: {row.allow}"
    approval = live.approval if yes is None else f"{yes.pending.approval_id}, by {yes.by}"
    text = (
        f"{row.language}, {row.code_bytes:,} bytes, sha256 {row.code_sha256[:16]}, {limits.wall_s:g} s, "
        f"{limits.memory_bytes >> 20} MB, {network}, approval: {approval}"
    )
    return _event(AuditKind.TASK_STARTED, text, row, yes)


def ended_event(row: TaskRow, yes: ApprovalOutcome | None = None) -> AuditEvent:
    code = "" if row.exit_code is None else f", exit code {row.exit_code}"
    text = f"{row.ending}{code}, {len(row.files)} files, {row.output_bytes:,} bytes printed"
    return _event(AuditKind.TASK_ENDED, text, row, yes)


def _event(kind: AuditKind, text: str, row: TaskRow, yes: ApprovalOutcome | None) -> AuditEvent:
    return AuditEvent(
        kind,
        f"task {row.number}: {text}",
        about=f"task {row.number}",
        by=row.asked_by,
        known=(row.code_sha256[:16],),
        approval=None if yes is None else yes.pending.approval_id,
        network=row.allow is not None,
    )


def limit_reason(ending: TaskEnding, limits: SandboxLimits) -> str:
    """The limit that ended it and its setting, or nothing."""
    asked = "or less where less was asked for"
    return {
        "timed_out": f"more than {limits.wall_s:g} s (tasks.wall_s, {asked})",
        "out_of_memory": f"more than {limits.memory_bytes >> 20} MB (tasks.memory_mb, {asked})",
        "too_much_output": f"it printed more than {limits.output_bytes >> 10} KB (tasks.output_kb)",
        "disk_full": f"its files have more than {limits.disk_bytes >> 20} MB (tasks.disk_mb), or are too many",
    }.get(ending, "")
