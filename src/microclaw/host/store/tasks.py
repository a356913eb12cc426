"""Rows of code that ran, runs or waits in the sandbox: its person, limits and end. They have no code."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

from microclaw.host.store.rows import RowTable, reads, select, update, writes
from microclaw.host.store.sql import Sql

TaskLanguage: TypeAlias = Literal["python", "shell", "javascript"]
TaskState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
TaskEnding: TypeAlias = Literal[
    # Not ended yet.
    "",
    # By itself: done with exit code 0, else failed.
    "ended",
    # As in sandbox.job.
    "timed_out", "out_of_memory", "too_much_output", "disk_full", "killed",
    "cancelled",
    # The host stopped.
    "interrupted",
    # The sandbox, or the host's disk, refused it; `reason` says why.
    "not_run",
]  # fmt: skip
OPEN: Final = ("queued", "running")


class FileRow(Struct, frozen=True, array_like=True):
    """A file that a task left: `name` is relative, with / between folders."""

    name: str
    size_bytes: int
    media_type: str


class TaskRow(Struct, frozen=True):
    """One task. `number` 0 is not stored yet. `person_id` is who may see it, `asked_by` the name for people.

    `device_id` is the device whose task it is. `allow` is its name in the allowlist, None without a network. `output`
    is the end of the output; `kept_bytes` is the size of its files.
    """

    person_id: str
    asked_by: str
    channel: str
    chat_id: str
    language: TaskLanguage
    code_bytes: int
    code_sha256: str
    # As sandbox.job.SandboxLimits.
    limits: dict[str, int | float]
    created_ms: int
    number: int = field(default=0, name="task_number")
    device_id: str | None = None
    inputs: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    allow: str | None = None
    state: TaskState = "queued"
    ending: TaskEnding = ""
    exit_code: int | None = None
    reason: str = ""
    output: bytes = b""
    output_bytes: int = 0
    files: tuple[FileRow, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    kept_bytes: int = 0
    started_ms: int | None = None
    ended_ms: int | None = None
    cpu_s: float | None = None
    memory_peak_bytes: int | None = None
    # In a cluster the host whose sandbox runs it and whose disk has its files.
    host: str | None = None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


class TaskTable(RowTable[TaskRow]):
    """Tasks of one database, by number."""

    _kind = TaskRow
    _name = "code_tasks"
    _key = "task_number"
    _order = "task_number"

    @writes
    def take(self, sql: Sql, row: TaskRow) -> bool:
        """Give an open task of another host to this one; return False if it is closed or was taken."""
        key = {"task_number": row.number, "host": row.host, "state": OPEN}
        return update(sql, "code_tasks", key, host=self.host).rowcount == 1

    @reads
    def newest(self, sql: Sql, limit: int, person_id: str | None = None) -> tuple[TaskRow, ...]:
        """Return the newest tasks, newest first, of everyone or of one person."""
        where = "code_tasks WHERE ?1 IS NULL OR person_id = ?1 ORDER BY task_number DESC LIMIT ?2"
        return select(sql, TaskRow, where, (person_id, limit))

    @reads
    def numbers(self, sql: Sql) -> frozenset[int]:
        return frozenset(number for (number,) in sql.execute("SELECT task_number FROM code_tasks"))

    @writes
    def prune(self, sql: Sql, before_ms: float, count: int, size_bytes: int) -> None:
        """Delete ended tasks that are too old, too many, or whose files do not fit beside all newer ones."""
        sql.execute(
            """DELETE FROM code_tasks WHERE task_number IN (SELECT task_number FROM (SELECT task_number, ended_ms,
                ROW_NUMBER() OVER newer AS place, kept_bytes,
                SUM(CASE WHEN kept_bytes > ?3 THEN 0 ELSE kept_bytes END) OVER newer AS size FROM code_tasks
                WHERE ended_ms IS NOT NULL WINDOW newer AS (ORDER BY task_number DESC)) AS ended
                WHERE ended_ms < ?1 OR place > ?2 OR kept_bytes > ?3 OR size > ?3)""",
            (before_ms, count, size_bytes),
        )
