"""The results of the acts of tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from msgspec import structs

from microclaw.host.operations.result import Listing, Result, filled
from microclaw.host.store.tasks import OPEN, FileRow, TaskEnding, TaskLanguage, TaskState
from microclaw.text import format_duration

if TYPE_CHECKING:
    from microclaw.host.store.tasks import TaskRow


class TaskFile(FileRow, frozen=True, array_like=False):
    """A file that a task left, as an object."""


class TaskFacts(
    Result,
    frozen=True,
    kw_only=True,
    rename={"number": "task", "asked_by": "by", "exited": "exit_code", "inputs": "files_in", "refused": "not_kept"},
):
    """A task without its output.

    `refused` has the reason for each file that was not taken out, `allow` its name in the allowlist (null: no network).
    """

    document: ClassVar = "task"

    number: int
    state: TaskState
    ending: TaskEnding | None
    exited: int | None
    reason: str | None
    language: TaskLanguage
    asked_by: str
    code_bytes: int
    code_sha256: str
    inputs: tuple[str, ...]
    files: tuple[TaskFile, ...]
    refused: dict[str, str]
    allow: str | None
    limits: dict[str, float]
    output_bytes: int
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    cpu_s: float | None
    memory_peak_bytes: int | None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def summary(self) -> str:
        """The state in one line."""
        if self.ending == "ended":
            how = f"exit code {self.exited}"
        else:
            how = (self.ending or "").replace("_", " ")
        duration = ""
        if self.ended_ms and self.started_ms:
            duration = format_duration(self.ended_ms - self.started_ms)
        facts = dict.fromkeys(filter(None, (self.state, how, duration)))
        summary = f"task {self.number}: {', '.join(facts)}"
        if self.reason:
            summary += f": {self.reason}"
        return summary


class TaskWithOutput(TaskFacts, frozen=True, kw_only=True):
    """A task with a page of its output.

    `output` are the bytes from `output_begins` to `output_ends`, as text. It begins later than requested if the
    beginning is not stored. `output_more`: the next page is ready.
    """

    output: str
    output_begins: int
    output_ends: int
    output_more: bool

    @property
    def is_foreign(self) -> bool:
        return True

    def lines(self) -> Iterable[str]:
        yield self.summary
        yield f"{self.language}, {self.code_bytes:,} bytes, sha256 {self.code_sha256}, by {self.asked_by}"
        yield f"limits: {self.limits['wall_s']:g} s, {int(self.limits['memory_bytes']) >> 20} MB"
        for file in self.files:
            yield f"file: {file.name}, {file.size_bytes:,} bytes, {file.media_type}"
        yield f"printed: {self.output_bytes:,} bytes (microclaw task get {self.number})"


class TaskList(Listing, frozen=True, kw_only=True):
    document: ClassVar = "tasks"
    columns: ClassVar = {
        "ID": "number",
        "STATE": "state",
        "ENDING": "ending",
        "LANGUAGE": "language",
        "BY": "asked_by",
        "SINCE": "created_ms",
    }
    empty: ClassVar = "no task of yours has run"

    tasks: list[TaskFacts]


class CancelledTask(TaskFacts, frozen=True, kw_only=True):
    @property
    def exit_code(self) -> int:
        return 0 if self.state == "cancelled" else 1


_Facts = TypeVar("_Facts", bound=TaskFacts)


def facts(kind: type[_Facts], row: TaskRow, **more: Any) -> _Facts:
    more |= {"exited": row.exit_code, "ending": row.ending or None, "reason": row.reason or None}
    files = tuple(TaskFile(*structs.astuple(file)) for file in row.files)
    return filled(kind, row, files=files, refused=dict(row.refused), **more)
