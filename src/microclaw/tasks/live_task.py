"""A task that waits or runs: what it printed, who waits for news, room in the queue. It starts and stores nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from microclaw.auth.approvals import ApprovalOutcome
from microclaw.auth.people import person_behind
from microclaw.errors import Overloaded
from microclaw.sandbox.job import SandboxEnd, SandboxJob
from microclaw.store.tasks import TaskEnding, TaskRow

DEVICE: Final = "device:"  # how the id of an asker begins that is a device
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
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Future[SandboxEnd] | None = None
    stop: TaskEnding = ""  # why it is to end early: cancelled, interrupted

    @property
    def asker(self) -> str:
        return person_behind(self.row.person_id)

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


def check_room(waiting: Collection[LiveTask], places: int, person_id: str) -> None:
    """Raises Overloaded when all places of the queue, or all that this asker may have, are taken.

    One asker has at most half of the places and all devices together three quarters, so that somebody else can come in.
    """
    asker, taken = person_behind(person_id), Counter(live.asker for live in waiting)
    of_devices = sum(count for one, count in taken.items() if one.startswith(DEVICE))
    for count, most, whose in (
        (len(waiting), places, "tasks"),
        (taken[asker], (places + 1) // 2, "tasks of the same asker"),
        (of_devices if asker.startswith(DEVICE) else 0, (3 * places + 3) // 4, "tasks of devices"),
    ):
        if count >= most:
            step = "wait for some to end, or cancel one: microclaw task list"
            raise Overloaded(f"{count} {whose} wait already, {most} is the limit", next_step=step)
