"""A task that waits or runs: what it printed until now, who waits for news of it. It starts and stores nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from microclaw.sandbox.job import SandboxEnd, SandboxLimits
from microclaw.store.tasks import TaskEnding, TaskRow
from microclaw.tasks.order import Language, TaskOrder

TAIL_BYTES: Final = 64 * 1024  # of its output, kept and shown
CLEANED: Final = "the host stopped while it ran or waited; what it made is gone"


@dataclass(slots=True)
class LiveTask:
    """A task that waits or runs. `seen` counts all that it printed, `tail` holds the end of it."""

    row: TaskRow
    order: TaskOrder
    language: Language
    command: tuple[str, ...]
    limits: SandboxLimits
    files: Mapping[str, Path]
    approval: str | None = None  # the number of the question that somebody said yes to
    tail: bytearray = field(default_factory=bytearray)
    seen: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    job: asyncio.Task[SandboxEnd | Exception] | None = None
    stop: TaskEnding = ""  # why it is to end early: cancelled, interrupted

    def printed(self, data: bytes) -> None:
        self.seen += len(data)
        self.tail += data
        del self.tail[:-TAIL_BYTES]
        self.wake()

    def wake(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task and what it printed from a place on: `output` begins at `begins`, later than asked where it was lost."""

    row: TaskRow
    output: bytes
    begins: int
    ends: int


def view_of(row: TaskRow, live: LiveTask | None, after: int) -> TaskView:
    """What it printed from `after` on, as far as it is still there."""
    output, ends = (b"", 0) if row.is_open else (row.output, row.output_bytes)
    if live is not None and row.is_open:
        output, ends = bytes(live.tail), live.seen
    begins = max(after, ends - len(output))
    return TaskView(row, output[len(output) - max(0, ends - begins) :] if begins < ends else b"", begins, ends)


def stopped(row: TaskRow, why: TaskEnding) -> TaskRow:
    """The row of one that was ended early, or never began."""
    if why == "cancelled":
        return replace(row, state="cancelled", ending="cancelled")
    return replace(row, state="failed", ending="interrupted", reason=CLEANED)


def started_text(live: LiveTask) -> str:
    """What the security log has of its start."""
    row, limits = live.row, live.limits
    network = "no network" if row.allow is None else f"network: {row.allow}"
    return (
        f"task {row.number}: {row.language}, {row.code_bytes:,} bytes, sha256 {row.code_sha256[:16]}, "
        f"{limits.wall_s:g} s, {limits.memory_bytes >> 20} MB, {network}, approval: {live.order.approval}"
    )


def ended_text(row: TaskRow) -> str:
    code = "" if row.exit_code is None else f", exit code {row.exit_code}"
    return f"task {row.number}: {row.ending}{code}, {len(row.files)} files, {row.output_bytes:,} bytes printed"
