"""The operations on schedules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from msgspec import Meta

from microclaw.agent.language.times import When
from microclaw.agent.schedules.results import (
    NewSchedule,
    OneSchedule,
    RemovedSchedule,
    ScheduleFacts,
    ScheduleList,
    ScheduleRun,
)
from microclaw.host.operations.forms import Asks, CommandForm, HttpAnswer, ToolForm
from microclaw.host.operations.operation import Effect, OperationCall, Option, Permission, operation
from microclaw.host.store.schedules import Missed

if TYPE_CHECKING:
    from microclaw.agent.schedules.scheduling import Scheduling


Number: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1, description="Its number, as `schedule list` shows it.")]


WhenToRun: TypeAlias = Annotated[
    str | When,
    Meta(
        min_length=1,
        max_length=200,
        description='"in 20 minutes", "tomorrow at 8:00", "every weekday at 7:00", "every 2 hours", cron "0 7 * * 1".',
    ),
    Option(told=str),
]
Words: TypeAlias = Annotated[
    str | None,
    Meta(min_length=1, max_length=4000, description="What to do then, in the person's words."),
    Option(rest=True, metavar="WHAT"),
]
ToolName: TypeAlias = Annotated[
    str | None,
    Meta(max_length=80, description="Instead of `do`: the tool to call then."),
    Option(hidden=True),
]
ToolArguments: TypeAlias = Annotated[
    dict[str, Any] | None,
    Meta(description="The arguments of `tool`."),
    Option(hidden=True),
]
DeviceName: TypeAlias = Annotated[
    str | None,
    Meta(max_length=80, description="The device it is for, if there are several."),
]
TimeZone: TypeAlias = Annotated[
    str | None,
    Meta(max_length=64, description="As Europe/Berlin; left out: the person's zone."),
    Option("--zone"),
]
MissedRuns: TypeAlias = Annotated[
    Missed | None,
    Meta(description="When the host was off: run it once later (a one-off act within 10 minutes), or skip it."),
]


@operation("schedule.list", http="GET /v1/schedules", tool=ToolForm("schedule-list"))
async def list_schedules(scheduling: Scheduling, call: OperationCall) -> ScheduleList:
    """List the schedules, oldest first: all for an owner, else the own ones."""
    visible = await scheduling.book.visible(call.person_id)
    failures = await scheduling.book.table.last_failures()
    schedules = []
    for schedule in visible:
        failure = failures.get(schedule.schedule_id)
        schedules.append(scheduling.facts(schedule, ScheduleFacts, failure=failure))
    return ScheduleList(zone=scheduling.book.zone, schedules=schedules)


async def _needed_permission(
    scheduling: Scheduling, call: OperationCall, force: bool = False, **values: Any
) -> Permission:
    plan = await scheduling.plan(call, **values)
    return plan.schedule.approved


@operation(
    "schedule.add",
    http="POST /v1/schedules",
    permission=Permission.ACT,
    answer=HttpAnswer(201, place="/v1/schedules/{schedule}"),
    tool=ToolForm("schedule-add"),
    command=CommandForm(said="schedule {schedule} is kept, next {next}: {what}"),
    before=_needed_permission,
    asks=Asks.ITSELF,
)
async def add(  # noqa: PLR0913, RUF100 - one parameter for each field of the request
    scheduling: Scheduling,
    call: OperationCall,
    when: WhenToRun,
    *,
    do: Words = None,
    tool: ToolName = None,
    arguments: ToolArguments = None,
    device: DeviceName = None,
    timezone: TimeZone = None,
    missed: MissedRuns = None,
    force: Annotated[bool, Meta(description="Also on a pin that needs care.")] = False,
) -> NewSchedule:
    """Do something later or again and again, at times of day.

    If it only repeats or reacts on the board itself, make a program instead (deploy-wasm-app).
    """
    plan = await scheduling.plan(
        call,
        when,
        do=do,
        tool=tool,
        arguments=arguments,
        device=device,
        timezone=timezone,
        missed=missed,
    )
    await scheduling.book.check_new(plan.schedule)
    plan = await scheduling.try_calls(call, plan)
    await scheduling.approve(call, plan, force=force)
    schedule = await scheduling.book.add(plan.schedule)
    return scheduling.facts(schedule, NewSchedule, warning=plan.warning)


@operation("schedule.show", http="GET /v1/schedules/{schedule}", command=CommandForm("list"))
async def show(scheduling: Scheduling, call: OperationCall, schedule: Number) -> OneSchedule:
    """Show a schedule and how its latest runs ended."""
    book = scheduling.book
    stored = await book.get_editable(schedule, call.person_id)
    runs = [
        ScheduleRun(
            due=datetime.fromtimestamp(row.due_ms / 1000, UTC).isoformat(timespec="seconds"),
            state=row.state,
            asked_model=row.woke,
            result=row.result,
        )
        for row in await book.table.runs(schedule)
    ]
    failures = await book.table.last_failures()
    return scheduling.facts(stored, OneSchedule, runs=runs, failure=failures.get(schedule))


@operation(
    "schedule.run",
    http="POST /v1/schedules/{schedule}/run",
    permission=Permission.ACT,
    answer=HttpAnswer(202),
    command=CommandForm(said="schedule {schedule} runs now; how it ended: microclaw schedule list {schedule}"),
)
async def run(scheduling: Scheduling, call: OperationCall, schedule: Number) -> ScheduleFacts:
    """Run a schedule now; its own times stay."""
    started = await scheduling.runner.run_now(schedule, call.person_id)
    return scheduling.facts(started, ScheduleFacts)


async def _check_may_change(scheduling: Scheduling, call: OperationCall, schedule: int) -> None:
    await scheduling.book.get_editable(schedule, call.person_id)


@operation(
    "schedule.pause",
    http="POST /v1/schedules/{schedule}/pause",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    tool=ToolForm("schedule-pause"),
    command=CommandForm(said="schedule {schedule} is {condition}; again: microclaw schedule resume {schedule}"),
    before=_check_may_change,
    words="pause schedule {schedule}",
)
async def pause(scheduling: Scheduling, call: OperationCall, schedule: Number) -> ScheduleFacts:
    """Keep a schedule, but do not run it until it is resumed; missed times are not made up for."""
    paused = await scheduling.book.pause(schedule, call.person_id)
    return scheduling.facts(paused, ScheduleFacts)


@operation(
    "schedule.resume",
    http="POST /v1/schedules/{schedule}/resume",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    tool=ToolForm("schedule-resume"),
    command=CommandForm(said="schedule {schedule} is due again, next {next}"),
    before=_check_may_change,
    words="resume schedule {schedule}",
)
async def resume(scheduling: Scheduling, call: OperationCall, schedule: Number) -> ScheduleFacts:
    """Make a paused schedule due again; missed times are not made up for."""
    resumed = await scheduling.book.resume(schedule, call.person_id)
    return scheduling.facts(resumed, ScheduleFacts)


@operation(
    "schedule.rm",
    http="DELETE /v1/schedules/{schedule}",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    tool=ToolForm("schedule-remove"),
    command=CommandForm(said="removed: {when}: {what}{goes_on}"),
    before=_check_may_change,
    words="remove schedule {schedule}",
)
async def remove(scheduling: Scheduling, call: OperationCall, schedule: Number) -> RemovedSchedule:
    """Remove a schedule; its current run continues."""
    was_running = await scheduling.runner.is_running(schedule)
    removed = await scheduling.book.remove(schedule, call.person_id)
    is_running = was_running or schedule in scheduling.runner.running  # it may have begun meanwhile
    return RemovedSchedule(removed=schedule, when=removed.said, what=removed.what, under_way=is_running)
