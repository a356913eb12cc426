"""The acts of tasks, code in the sandbox, and who may run and see them: owners see every task, others their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeAlias, TypeVar

from msgspec import Meta, structs

from microclaw.errors import PermissionRefused
from microclaw.host.auth.people import is_owner
from microclaw.host.operations.forms import NO_COMMAND, Asks, CommandForm, HttpAnswer
from microclaw.host.operations.operation import Effect, OperationCall, Option, Permission, operation
from microclaw.host.operations.result import Listing, Result, filled
from microclaw.host.store.tasks import OPEN, FileRow, TaskEnding, TaskLanguage, TaskState
from microclaw.text import format_duration

if TYPE_CHECKING:
    from microclaw.agent.tasks.order import TaskOrder
    from microclaw.agent.tasks.service import TaskService
    from microclaw.host.auth.people import Person, Roles
    from microclaw.host.store.tasks import TaskRow


# The beginning of the id of a caller that is a device.
DEVICE: Final = "device:"
MAY_RUN: Final = frozenset({"owner", "member"})
"""Guests and automations cannot run code."""


def check_may_run(roles: Roles, person_id: str) -> Person:
    """Return the person. Raises PermissionRefused if they may not run code."""
    person = roles.get(person_id)
    if person is not None and person.role in MAY_RUN:
        return person
    name = "this person"
    if person is not None:
        name = f"{person.name} ({person.role})"
    raise PermissionRefused(f"{name} may not run code on this host", next_step="ask the owner of this host")


def may_still_run(roles: Roles, person_id: str) -> bool:
    """Return True if a task of this asker continues: its person may be removed or have another role now."""
    person = roles.get(person_id)
    return person_id.startswith(DEVICE) or (person is not None and person.role in MAY_RUN)


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


Number: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1, description="Its number, as `task list` shows it.")]
_Facts = TypeVar("_Facts", bound=TaskFacts)


@operation("task.list", http="GET /v1/tasks")
async def list_tasks(
    tasks: TaskService, call: OperationCall, limit: Annotated[int, Meta(ge=1, le=1_000, description="At most N.")] = 50
) -> TaskList:
    """List tasks, the newest first."""
    person_id = None if is_owner(tasks.roles, call.person_id) else call.person_id
    rows = await tasks.table.newest(limit, person_id)
    return TaskList(tasks=[facts(TaskFacts, row) for row in rows])


@operation(
    "task.run",
    http="POST /v1/tasks",
    permission=Permission.ACT,
    answer=HttpAnswer(201, place="/v1/tasks/{number}"),
    command=NO_COMMAND,
    words="run {language} code in the sandbox",
    asks=Asks.ITSELF,
)
async def run(  # noqa: PLR0913, RUF100 - one parameter for each field of the request
    tasks: TaskService,
    call: OperationCall,
    code: str,
    *,
    language: TaskLanguage = "python",
    files: Annotated[dict[str, bytes], Meta(description="What it reads, by name.")] = {},  # noqa: B006
    keep: Annotated[list[str], Meta(description="Names of files to take out.")] = [],  # noqa: B006
    seconds: float | None = None,
    memory_mb: int | None = None,
    allow: Annotated[str | None, Meta(description="Its name in the allowlist: a network, for a yes.")] = None,
) -> TaskFacts:
    """Run code in the sandbox: it is taken, and `show` has its end."""
    # This loads the sandbox, which a command does not need.
    from microclaw.agent.tasks.order import TaskOrder

    person = check_may_run(tasks.roles, call.person_id)
    order = TaskOrder(
        language=language,
        code=code,
        files=files,
        keep=keep,
        seconds=seconds,
        memory_mb=memory_mb,
        allow=allow,
        person_id=call.person_id,
        asked_by=person.name,
        approval="own command" if call.direct else "none needed",
        channel=call.channel,
        chat_id=call.chat_id,
    )
    detail = () if call.direct else await tasks.question(order)
    text = f"run {len(code):,} characters of {order.language} in the sandbox"
    if allow is None:
        await call.approve(text, detail, None, Permission.ACT)
    else:
        # With a network the files that it reads may leave this host.
        await call.approve(f"{text} with the network of {allow}", detail, None, Permission.RISKY)
        if detail:
            await _check_unchanged(tasks, order, detail)
    return facts(TaskFacts, await tasks.submit(order))


async def _check_unchanged(tasks: TaskService, order: TaskOrder, detail: tuple[str, ...]) -> None:
    """Raise PermissionRefused if the destinations in the allowlist changed during the question."""
    if await tasks.question(order) != detail:
        text = "its destinations in the allowlist changed during the question, so it was not run"
        raise PermissionRefused(text, next_step="ask for it again")


@operation("task.show", http="GET /v1/tasks/{number}", command=CommandForm("list"))
async def show(
    tasks: TaskService,
    call: OperationCall,
    number: Number,
    after: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="Only the output from this byte on."), Option(hidden=True)
    ] = 0,
    wait_s: Annotated[
        float, Meta(ge=0, le=25, description="Wait for more output, at most this long."), Option(hidden=True)
    ] = 0.0,
) -> TaskWithOutput:
    """Show a task: who asked, how it ended, its files."""
    await tasks.row(number, call.person_id)
    return await tasks.view(number, after=after, wait_s=wait_s)


@operation(
    "task.cancel",
    http="DELETE /v1/tasks/{number}",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    command=CommandForm("list", said="{summary}"),
)
async def cancel(
    tasks: TaskService, call: OperationCall, number: Annotated[Number, Option("--cancel", metavar="NUMBER")]
) -> CancelledTask:
    """End a task; all of its processes are dead afterwards. Exit code 1 when it came to an end of its own."""
    await tasks.row(number, call.person_id)
    return facts(CancelledTask, await tasks.cancel(number))


def facts(kind: type[_Facts], row: TaskRow, **more: Any) -> _Facts:
    more |= {"exited": row.exit_code, "ending": row.ending or None, "reason": row.reason or None}
    files = tuple(TaskFile(*structs.astuple(file)) for file in row.files)
    return filled(kind, row, files=files, refused=dict(row.refused), **more)
