"""The tools of schedules, and how a schedule is made: its time is read, its action planned and approved. It runs none.

Words that mean one call are planned as that call, which needs no model when it is due; other words become a message to
the agent. A risky action is approved when the schedule is made, as nobody may be there when it is due.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

from pydantic import Field, WithJsonSchema

from microclaw.auth.gate import Effect, Permission
from microclaw.errors import ScheduleRefused, ToolRetry
from microclaw.events import Evidence
from microclaw.language.times import When, when_text
from microclaw.models.protocol import DeviceContext
from microclaw.offline.decision import Act, Say, asks_when_due
from microclaw.schedules.book import ScheduleBook, ScheduleRequest
from microclaw.schedules.devices import MAX_WHAT_CHARS, call_text, device_of, lost_device
from microclaw.schedules.entry import Deed, Prompt, Schedule, Timing, ToolAct, kind_of, next_due
from microclaw.store.schedules import Missed
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.tools.toolbox import Toolbox

_SECONDS_BELOW_MS: Final = 60_000


class AddParameters(Parameters):
    # A model gives text; the offline dialogue gives the time that it has read from the sentence.
    when: Annotated[
        Annotated[str, Field(min_length=1, max_length=200)] | When,
        WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 200}),
    ] = Field(
        description='"in 20 minutes", "tomorrow at 8:00", "every weekday at 7:00", "every 2 hours", cron "0 7 * * 1".',
    )
    do: str | None = Field(None, min_length=1, max_length=4000, description="What to do then, in the person's words.")
    tool: str | None = Field(None, max_length=80, description="Instead of `do`: the tool to call then.")
    arguments: dict[str, Any] | None = Field(None, description="The arguments of `tool`.")
    device: str | None = Field(None, max_length=80, description="The device it is for, where there are several.")
    timezone: str | None = Field(None, max_length=64, description="Left out: where the person lives.")
    missed: Missed | None = Field(None, description="When the host was off at the time: run it once later, or skip it.")

    @property
    def when_text(self) -> str:
        return self.when if isinstance(self.when, str) else when_text(self.when)


class ListParameters(Parameters):
    pass


class EndParameters(Parameters):
    schedule: int = Field(ge=1, description="Its number, as schedule-list tells it.")
    how: Literal["remove", "pause", "resume"] = Field("remove", description="A paused one is kept and not due.")


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule that may be made: `permission` is what its action needs, `detail` shows exactly what would happen.

    `objections` are what would make it ask for a yes if it were due now.
    """

    timing: Timing
    deed: Deed
    what: str
    device: str | None
    permission: Permission
    action: str
    detail: tuple[str, ...]
    objections: tuple[str, ...]


class Scheduling:
    """Makes schedules for tools, routes and commands. `tools` are those that a schedule may call.

    Without a model (`offline`), words that no template understands are refused at once.
    """

    def __init__(
        self,
        *,
        book: ScheduleBook,
        tools: Toolbox,
        scene: Callable[[str | None], Awaitable[DeviceContext]],
        wakes_an_hour: int,
        offline: bool,
    ) -> None:
        self.book = book
        self._tools = tools
        self._scene = scene
        self._wakes_an_hour = wakes_an_hour
        self._offline = offline

    async def plan(self, asked: AddParameters, context: ToolContext) -> Plan:
        """Raises ScheduleRefused, ToolRetry for wrong arguments, PermissionRefused."""
        timing = self.book.timing(asked.when, asked.timezone)
        await self.book.check_room()
        deed, what, device = await self._deed(asked, context)
        permission = Permission.ACT
        lines: tuple[str, ...] = (what,)
        objections: tuple[str, ...] = ()
        words = what
        if isinstance(deed, ToolAct):
            there = context if device is None else replace(context, device=device)  # as it will be when it is due
            prepared = await self._tools.prepare(deed.tool, deed.arguments, there)
            lines, objections = (prepared.action, *prepared.lines), prepared.objections
            words = what if asked.tool is None else prepared.action
            if prepared.permission is Permission.RISKY:
                permission = Permission.RISKY
        due_ms = next_due(timing, self.book.now_ms())
        first = () if due_ms is None else (f"first time: {self.shown(due_ms, asked.timezone)}",)
        action = f"schedule {asked.when_text}: {words}"
        return Plan(timing, deed, what, device, permission, action, (*first, *lines), objections)

    async def keep(self, plan: Plan, asked: AddParameters, context: ToolContext) -> Schedule:
        """Make the planned schedule, after its approval."""
        wanted = ScheduleRequest(
            when=asked.when_text,
            what=plan.what,
            deed=plan.deed,
            person_id=context.person_id,
            channel=context.channel,
            chat_id=context.chat_id,
            device=plan.device,
            zone=asked.timezone,
            missed=asked.missed,
            approved=plan.permission,
        )
        return await self.book.add(wanted, timing=plan.timing)

    def shown(self, at_ms: int, zone: str | None = None) -> str:
        """A time with its day, which is "today" or "tomorrow" where it is; with seconds in the next minute."""
        now_ms = self.book.now_ms()
        moment, today = self.book.moment(at_ms, zone), self.book.moment(now_ms, zone).date()
        day = {0: "today", 1: "tomorrow"}.get((moment.date() - today).days, f"{moment:%A}")
        clock = "%H:%M:%S" if 0 <= at_ms - now_ms < _SECONDS_BELOW_MS else "%H:%M"
        return f"{day}, {moment:%Y-%m-%d} {moment.strftime(clock)} {moment:%Z}"

    def warning(self, schedule: Schedule, plan: Plan) -> str | None:
        """That it will ask for a yes when it is due, or would ask a model too often; None for the others."""
        if plan.objections:
            return asks_when_due(plan.objections)
        if not isinstance(schedule.deed, Prompt):
            return None
        count = self.book.wakes_an_hour(schedule.timing, self._wakes_an_hour)
        if count <= self._wakes_an_hour:
            return None
        return (
            f"it may ask a model more than {self._wakes_an_hour} times an hour, which is what schedules may all "
            "together (schedules.wakes_an_hour): it is paused then"
        )

    def facts(self, schedule: Schedule) -> dict[str, Any]:
        """A schedule as tools and routes show it."""
        deed = schedule.deed
        return {
            "schedule": schedule.schedule_id,
            "when": schedule.said,
            "what": schedule.what,
            "kind": kind_of(schedule.timing),
            "asks_model": isinstance(deed, Prompt),
            "tool": deed.tool if isinstance(deed, ToolAct) else None,
            "device": device_of(schedule),
            "problem": None if schedule.lost is None else lost_device(schedule).message,
            "state": schedule.state,
            "why": schedule.why,
            "next": None if schedule.next_ms is None else self.shown(schedule.next_ms, schedule.zone),
            "next_ms": schedule.next_ms,
            "zone": schedule.zone or self.book.zone,
            "missed": schedule.missed,
            "person": schedule.person_id,
            "channel": schedule.channel,
            "chat_id": schedule.chat_id,
        }

    async def _deed(self, asked: AddParameters, context: ToolContext) -> tuple[Deed, str, str | None]:
        """The action, the action in words, and the device that it is for as things are now."""
        device = asked.device or context.device
        if device is not None:
            self.book.check_device(device)
        scene = await self._scene(device)
        if asked.device is None and device is not None:  # where it was said; one without pins is not what it acts on
            device = scene.meant.name if scene.meant and scene.meant.board.pins else None
        if (asked.do is None) == (asked.tool is None):
            raise ToolRetry("give either `do` or `tool`", next_step="`do` is what to do then, in words")
        if asked.tool is not None:
            arguments: Mapping[str, Any] = asked.arguments or {}
            self._check_device(asked.tool, arguments.get("device"))
            call = ToolAct(asked.tool, json.dumps(arguments, ensure_ascii=False))
            return call, call_text(call), device
        words = (asked.do or "").strip()
        if not words:
            raise ScheduleRefused("a schedule does something", next_step="say what, as in: turn on pin 4")
        from microclaw.offline.dialogue import one_call  # loaded after the host's start

        decided = one_call(words, scene)
        if isinstance(decided, Say) and self._offline:
            if decided.code is None:  # it would be answered, and nothing done
                text = f"no model is set, and without one {words[:60]!r} does nothing"
                raise ScheduleRefused(text, next_step="say what to do, as in: turn on pin 4")
            raise ScheduleRefused(decided.text, next_step=decided.next_step or "say it in other words")
        if isinstance(decided, Act):
            act = ToolAct(decided.tool, json.dumps(decided.arguments, ensure_ascii=False))
            return act, words[:MAX_WHAT_CHARS], device or (scene.meant.name if scene.meant else None)
        return Prompt(words), words[:MAX_WHAT_CHARS], device

    def _check_device(self, tool: str, device: object) -> None:
        """Raise UnknownName now, not when it is due. The tool's parameters refuse what is not a text."""
        takes_one = any(one.name == tool and "device" in one.parameters.model_fields for one in self._tools.tools)
        if takes_one and isinstance(device, str):
            self.book.check_device(device)


def scheduling_tools(scheduling: Scheduling) -> tuple[Tool[Any], ...]:
    """schedule-add, schedule-list, schedule-remove."""
    book = scheduling.book

    async def add_permission(asked: AddParameters, context: ToolContext) -> Permission:
        return (await scheduling.plan(asked, context)).permission

    async def add(asked: AddParameters, context: ToolContext) -> ToolOutput:
        plan = await scheduling.plan(asked, context)
        await context.approve(plan.action, plan.detail)
        made = await scheduling.keep(plan, asked, context)
        fields = {"success": True, **scheduling.facts(made)}
        warning = scheduling.warning(made, plan)
        if warning is not None:
            fields["warning"] = warning
        text = f"schedule {made.schedule_id} is kept, next {fields['next']}"
        return ToolOutput(fields, (Evidence("written", text),))

    async def show(_: ListParameters, context: ToolContext) -> ToolOutput:
        found = await book.visible(context.person_id)
        return ToolOutput({"success": True, "schedules": [scheduling.facts(one) for one in found]})

    async def check_end(asked: EndParameters, context: ToolContext) -> None:
        await book.of(asked.schedule, context.person_id)

    async def end(asked: EndParameters, context: ToolContext) -> ToolOutput:
        change = {"remove": book.remove, "pause": book.pause, "resume": book.resume}[asked.how]
        found = await change(asked.schedule, context.person_id)
        number, named = found.schedule_id, f"({found.said}: {found.what})"
        if asked.how == "remove":
            text = f"schedule {number} is removed {named}"
            return ToolOutput({"success": True, "schedule": number}, (Evidence("written", text),))
        facts = scheduling.facts(found)
        then = "paused" if asked.how == "pause" else f"due again, next {facts['next']}"
        fields = {"success": True, "schedule": number, "state": facts["state"], "next": facts["next"]}
        return ToolOutput(fields, (Evidence("written", f"schedule {number} is {then} {named}"),))

    text = (
        "Do something later or again and again, at times of day. What only repeats or reacts on the board itself is a "
        "program instead (deploy-wasm-app)."
    )
    act = Permission.ACT
    return (
        Tool(
            "schedule-add",
            text,
            AddParameters,
            act,
            Effect.ONCE,
            add,
            has_preview=True,
            required_permission=add_permission,
        ),
        Tool("schedule-list", "What is scheduled.", ListParameters, Permission.READ, Effect.READ, show),
        Tool(
            "schedule-remove",
            "Remove, pause or resume a schedule.",
            EndParameters,
            act,
            Effect.IDEMPOTENT,
            end,
            check=check_end,
            words=lambda asked, *_: f"{asked.how} schedule {asked.schedule}",
        ),
    )
