"""A task that waits or runs: what runs it, what it printed, who waits for news. It starts and stores nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct, structs

from microclaw.auth.approvals import ApprovalOutcome
from microclaw.sandbox.job import SandboxEnd, SandboxJob, SandboxLimits
from microclaw.store.tasks import TaskEnding, TaskRow
from microclaw.tasks.order import Language, TaskOrder

TAIL_BYTES: Final = 64 * 1024  # of its output, kept in its row; from this length on all of it is a file, too
PAGE_BYTES: Final = 64 * 1024  # of its output, in one look
CLEANED: Final = "the host stopped while it ran or waited; what it made is gone"

RunSandboxed: TypeAlias = Callable[[SandboxJob, Path, Callable[[bytes], None]], Awaitable[SandboxEnd]]
"""sandbox.run.run_sandboxed: cancelling it kills the whole tree, and it returns when that is dead."""


@dataclass(slots=True)
class LiveTask:
    """A task that waits or runs. `output` is all that it printed, at most `limits.output_bytes`."""

    row: TaskRow
    order: TaskOrder
    language: Language
    command: tuple[str, ...]
    limits: SandboxLimits
    files: Mapping[str, Path]
    yes: ApprovalOutcome | None = None  # that somebody said to the question for it
    output: bytearray = field(default_factory=bytearray)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    job: asyncio.Task[SandboxEnd | Exception] | None = None
    stop: TaskEnding = ""  # why it is to end early: cancelled, interrupted

    def printed(self, data: bytes) -> None:
        self.output += data
        self.wake()

    @property
    def seen(self) -> int:
        return len(self.output)

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


def limit_reason(ending: TaskEnding, limits: SandboxLimits) -> str:
    """The limit that ended it and its setting, or nothing."""
    asked = "or less where less was asked for"
    return {
        "timed_out": f"more than {limits.wall_s:g} s (tasks.wall_s, {asked})",
        "out_of_memory": f"more than {limits.memory_bytes >> 20} MB (tasks.memory_mb, {asked})",
        "too_much_output": f"it printed more than {limits.output_bytes >> 10} KB (tasks.output_kb)",
        "disk_full": f"its files have more than {limits.disk_bytes >> 20} MB (tasks.disk_mb), or are too many",
    }.get(ending, "")


def row_of(order: TaskOrder, code: bytes, language: Language, limits: SandboxLimits, now_ms: int) -> TaskRow:
    """The row of an order that is taken, without its number."""
    return TaskRow(
        person_id=order.person_id,
        asked_by=order.asked_by,
        device_id=order.device_id,
        channel=order.channel,
        chat_id=order.chat_id,
        language=language.name,
        code_bytes=len(code),
        code_sha256=hashlib.sha256(code).hexdigest(),
        inputs=tuple(order.files),
        keep=tuple(dict.fromkeys(order.keep)),
        allow=order.allow,
        limits=json.dumps(structs.asdict(limits)),
        created_ms=now_ms,
    )


def stopped(row: TaskRow, why: TaskEnding) -> TaskRow:
    """The row of one that was ended early, or never began."""
    if why == "cancelled":
        return replace(row, state="cancelled", ending="cancelled")
    return replace(row, state="failed", ending="interrupted", reason=CLEANED)
