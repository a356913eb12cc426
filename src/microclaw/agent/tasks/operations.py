"""The acts of tasks, code in the sandbox, and who may run and see them: owners see every task, others their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

from msgspec import Meta

from microclaw.agent.tasks.results import CancelledTask, TaskFacts, TaskList, TaskWithOutput, facts
from microclaw.agent.tasks.rights import check_may_run
from microclaw.errors import PermissionRefused
from microclaw.host.auth.people import is_owner
from microclaw.host.operations.forms import NO_COMMAND, Asks, CommandForm, HttpAnswer
from microclaw.host.operations.operation import Effect, OperationCall, Option, Permission, operation
from microclaw.host.store.tasks import TaskLanguage

if TYPE_CHECKING:
    from microclaw.agent.tasks.order import TaskOrder
    from microclaw.agent.tasks.service import TaskService


Number: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1, description="Its number, as `task list` shows it.")]


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
