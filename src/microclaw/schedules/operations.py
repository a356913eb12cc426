"""The acts of schedules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

from microclaw.language.times import When
from microclaw.operations.operation import Call, Effect, Option, Permission, operation
from microclaw.operations.result import Listing, Result
from microclaw.store.schedules import Missed, RunState, ScheduleState

if TYPE_CHECKING:
    from microclaw.schedules.scheduling import Scheduling


class ScheduleFacts(Result, frozen=True, kw_only=True):
    """`when` as it was said, `next` as a person reads it, `by` who made it; `asks_model`: a model is asked then.

    `allowed`: the acts that its runs do without a yes, although they have read these pages.
    """

    document: ClassVar[str] = "schedule"

    schedule: int
    when: str
    what: str
    kind: Literal["once", "every", "cron"]
    asks_model: bool
    tool: str | None
    device: str | None
    problem: str | None
    state: ScheduleState
    why: str | None
    next: str | None
    next_ms: int | None
    zone: str
    missed: Missed
    person: str
    by: str
    channel: str
    chat_id: str
    allowed: list[str]

    @property
    def condition(self) -> str:
        """Its state, with the reasons."""
        return ": ".join(filter(None, (self.state, "; ".join(filter(None, (self.why, self.problem))))))


class ScheduleList(Listing, frozen=True, kw_only=True):
    document: ClassVar = "schedules"
    columns: ClassVar = {
        "NUMBER": "schedule",
        "WHEN": "when",
        "WHAT": "what",
        "DEVICE": "device",
        "NEXT": "next",
        "STATE": "condition",
    }
    empty: ClassVar = 'nothing of yours is scheduled; microclaw schedule add "every weekday at 7" "turn on pin 4"'

    zone: str
    schedules: list[ScheduleFacts]


class NewSchedule(ScheduleFacts, frozen=True, kw_only=True):
    warning: str | None


class ScheduleRun(Struct, frozen=True, kw_only=True):
    due: str
    state: RunState
    asked_model: bool
    result: str | None


class OneSchedule(ScheduleFacts, frozen=True, kw_only=True):
    """With its latest runs, the newest first."""

    runs: list[ScheduleRun]

    def lines(self) -> list[str]:
        head = [f"{self.when}: {self.what}", f"next {self.next or '-'}, {self.condition}, missed runs: {self.missed}"]
        head += [f"allowed: {act}" for act in self.allowed]
        return [*head, *(f"{one.due}  {one.state}  {one.result}" for one in self.runs)]


class RemovedSchedule(Result, frozen=True, kw_only=True):
    document: ClassVar = "removed"

    removed: int
    when: str
    what: str
    under_way: bool

    @property
    def goes_on(self) -> str:
        return "; its run that is under way goes on" if self.under_way else ""


Number: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1, description="Its number, as `schedule list` shows it.")]


@operation("schedule.list", http="GET /v1/schedules", tool="schedule-list")
async def list_schedules(scheduling: Scheduling, call: Call) -> ScheduleList:
    """List the schedules, oldest first: all for an owner, else the own ones."""
    found = await scheduling.book.visible(call.person_id)
    return ScheduleList(zone=scheduling.book.zone, schedules=[scheduling.facts(one, ScheduleFacts) for one in found])


async def _needed(scheduling: Scheduling, call: Call, **values: Any) -> Permission:
    return (await scheduling.plan(call, **values)).new.approved


@operation(
    "schedule.add",
    http="POST /v1/schedules",
    permission=Permission.ACT,
    status=201,
    place="/v1/schedules/{schedule}",
    tool="schedule-add",
    said="schedule {schedule} is kept, next {next}: {what}",
    before=_needed,
    previews=True,
)
async def add(
    scheduling: Scheduling,
    call: Call,
    when: Annotated[
        str | When,
        Meta(
            min_length=1,
            max_length=200,
            description='"in 20 minutes", "tomorrow at 8:00", "every weekday at 7:00", "every 2 hours", cron '
            '"0 7 * * 1".',
        ),
        Option(told=str),
    ],
    do: Annotated[
        str | None,
        Meta(min_length=1, max_length=4000, description="What to do then, in the person's words."),
        Option(rest=True, metavar="WHAT"),
    ] = None,
    tool: Annotated[
        str | None, Meta(max_length=80, description="Instead of `do`: the tool to call then."), Option(hidden=True)
    ] = None,
    arguments: Annotated[
        dict[str, Any] | None, Meta(description="The arguments of `tool`."), Option(hidden=True)
    ] = None,
    device: Annotated[
        str | None, Meta(max_length=80, description="The device it is for, where there are several.")
    ] = None,
    timezone: Annotated[
        str | None,
        Meta(max_length=64, description="As Europe/Berlin; left out: where the person lives."),
        Option("--zone"),
    ] = None,
    missed: Annotated[
        Missed | None,
        Meta(description="When the host was off: run it once later (a one-off act within 10 minutes), or skip it."),
    ] = None,
) -> NewSchedule:
    """Do something later or again and again, at times of day.

    What only repeats or reacts on the board itself is a program instead (deploy-wasm-app).
    """
    plan = await scheduling.plan(call, when, do, tool, arguments, device, timezone, missed)
    plan = await scheduling.tried(call, plan)
    await call.approve(plan.action, plan.detail, None, plan.new.approved)
    made = await scheduling.book.add(plan.new)
    return scheduling.facts(made, NewSchedule, warning=plan.warning)


@operation("schedule.show", http="GET /v1/schedules/{schedule}", command="list")
async def show(scheduling: Scheduling, call: Call, schedule: Number) -> OneSchedule:
    """A schedule and how its latest runs ended."""
    book = scheduling.book
    found = await book.of(schedule, call.person_id)
    runs = [
        ScheduleRun(
            due=datetime.fromtimestamp(row.due_ms / 1000, UTC).isoformat(timespec="seconds"),
            state=row.state,
            asked_model=row.woke,
            result=row.result,
        )
        for row in await book.table.runs(schedule)
    ]
    return scheduling.facts(found, OneSchedule, runs=runs)


@operation(
    "schedule.run",
    http="POST /v1/schedules/{schedule}/run",
    permission=Permission.ACT,
    status=202,
    said="schedule {schedule} runs now; how it ended: microclaw schedule list {schedule}",
)
async def run(scheduling: Scheduling, call: Call, schedule: Number) -> ScheduleFacts:
    """Run it now; its own times stay."""
    found = await scheduling.runner.run_now(schedule, call.person_id)
    return scheduling.facts(found, ScheduleFacts)


async def _known(scheduling: Scheduling, call: Call, schedule: int) -> None:
    await scheduling.book.of(schedule, call.person_id)


@operation(
    "schedule.pause",
    http="POST /v1/schedules/{schedule}/pause",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    tool="schedule-pause",
    said="schedule {schedule} is {condition}; again: microclaw schedule resume {schedule}",
    before=_known,
    words="pause schedule {schedule}",
)
async def pause(scheduling: Scheduling, call: Call, schedule: Number) -> ScheduleFacts:
    """Keep it, and run it no more until it is resumed; what is missed is not made up for."""
    return scheduling.facts(await scheduling.book.pause(schedule, call.person_id), ScheduleFacts)


@operation(
    "schedule.resume",
    http="POST /v1/schedules/{schedule}/resume",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    tool="schedule-resume",
    said="schedule {schedule} is due again, next {next}",
    before=_known,
    words="resume schedule {schedule}",
)
async def resume(scheduling: Scheduling, call: Call, schedule: Number) -> ScheduleFacts:
    """Make a paused one due again; what it missed is not made up for."""
    return scheduling.facts(await scheduling.book.resume(schedule, call.person_id), ScheduleFacts)


@operation(
    "schedule.rm",
    http="DELETE /v1/schedules/{schedule}",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    tool="schedule-remove",
    said="removed: {when}: {what}{goes_on}",
    before=_known,
    words="remove schedule {schedule}",
)
async def remove(scheduling: Scheduling, call: Call, schedule: Number) -> RemovedSchedule:
    """Remove a schedule; a run that is under way goes on."""
    began = await scheduling.runner.is_running(schedule)
    gone = await scheduling.book.remove(schedule, call.person_id)
    under_way = began or schedule in scheduling.runner.running
    return RemovedSchedule(removed=schedule, when=gone.said, what=gone.what, under_way=under_way)
