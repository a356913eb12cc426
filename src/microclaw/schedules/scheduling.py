"""Makes schedules: reads the time, plans the action and has it approved. It runs none.

Words that mean one call are planned as that call, which needs no model when it is due; other words become a message to
the agent. A risky action is approved when the schedule is made, as nobody may be there when it is due.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from microclaw.auth.gate import Permission
from microclaw.errors import ScheduleRefused, ToolRetry
from microclaw.language.times import When, when_text
from microclaw.models.protocol import DeviceContext
from microclaw.offline.decision import Act, Say
from microclaw.operations.operation import Call
from microclaw.operations.result import filled
from microclaw.operations.tool import PlannedCall
from microclaw.schedules.book import ScheduleBook
from microclaw.schedules.devices import device_of, lost_device
from microclaw.schedules.due import is_due_more_often, next_due
from microclaw.schedules.operations import ScheduleFacts
from microclaw.schedules.runner import Runner
from microclaw.store.schedules import Deed, Missed, Once, Prompt, Schedule, ToolAct

F = TypeVar("F", bound="ScheduleFacts")

MAX_WHAT_CHARS: Final = 200
_SECONDS_BELOW_MS: Final = 60_000


class Plan(Struct, frozen=True):
    """A schedule that may be made; `detail` shows exactly what would happen.

    `warning` says that it would ask for a yes if it were due now, that its device is away, or that it asks a model too
    often.
    """

    new: Schedule
    action: str
    detail: tuple[str, ...]
    warning: str | None


class Scheduling(Struct, frozen=True):
    """Makes schedules. `prepare` gives the needs of a tool's call, `try_planned` tries it and returns what it could not
    try, `takes_device` is true of a tool for a device, `reads_others` of words that have a page or server read.

    Without a model (`offline`), words that no template understands are refused at once.
    """

    book: ScheduleBook
    runner: Runner
    prepare: Callable[[str, str, Call], Awaitable[PlannedCall]]
    try_planned: Callable[[str, str, Call], Awaitable[str | None]]
    takes_device: Callable[[str], bool]
    reads_others: Callable[[str], bool]
    name_of: Callable[[str], str]
    scene: Callable[[str | None], Awaitable[DeviceContext]]
    offline: bool

    async def plan(
        self,
        call: Call,
        when: str | When,
        do: str | None = None,
        tool: str | None = None,
        arguments: dict[str, Any] | None = None,
        device: str | None = None,
        timezone: str | None = None,
        missed: Missed | None = None,
    ) -> Plan:
        """`when` in words or read from words, and `do` in words or a `tool` with its `arguments`.

        Raises ScheduleRefused, ToolRetry for wrong arguments, PermissionRefused.
        """
        timing = self.book.timing(when, timezone)
        if isinstance(when, str):
            said = when
        else:
            said = when_text(when)
        await self.book.check_room()
        deed, what, device = await self._deed(call, do, tool, arguments or {}, device)
        permission = Permission.ACT
        words = what
        lines = [what]
        warning = None
        if isinstance(deed, ToolAct):
            there = call if device is None else replace(call, device=device)  # as it will be when it is due
            prepared = await self.prepare(deed.tool, deed.arguments, there)
            words = what if tool is None else prepared.action
            lines = [prepared.action, *prepared.lines]
            if prepared.objections:
                warning = f"{' and '.join(prepared.objections)}; if that is so then, I ask for a yes before I do it"
            if prepared.permission is Permission.RISKY:
                permission = Permission.RISKY
        due_ms = next_due(timing, self.book.now_ms())
        limit = self.runner.wakes_an_hour
        if isinstance(deed, Prompt) and not self.offline and is_due_more_often(timing, limit, due_ms):
            warning = f"it is paused when schedules ask a model more than {limit} times an hour"
        if isinstance(deed, Prompt) and self.reads_others(deed.text):
            waits = "if it reads a page, each run waits for a yes before it acts; its question can allow all runs"
            if warning is None:
                warning = waits
            else:
                warning = f"{warning}; {waits}"
        if due_ms is not None:
            lines.insert(0, f"first time: {self.shown(due_ms, timezone)}")
        new = Schedule(
            said=said,
            what=what,
            timing=timing,
            deed=deed,
            person_id=call.person_id,
            channel=call.channel,
            chat_id=call.chat_id,
            device=device,
            missed=missed or ("run" if isinstance(timing, Once) else "skip"),
            approved=permission,
            next_ms=due_ms,
        )
        warning = self._with_away(warning, device_of(new))
        return Plan(new, f"schedule {said}: {words}", tuple(lines), warning)

    def _with_away(self, warning: str | None, reference: str | None) -> str | None:
        """Return the warning, with the device of this name or id if it is known to be away."""
        for device in self.book.devices.list():
            if reference in (device.name, device.device_id) and device.is_away:
                away = f"{device.name} is away now"
                if warning is None:
                    return away
                return f"{warning}; {away}"
        return warning

    async def tried(self, call: Call, plan: Plan) -> Plan:
        """Try the call of a plan, a program also on a virtual board. Return the plan with a warning of what is untried.

        Raises what the call would fail with when it is due: BuildError, TrialFailed, ToolRetry.
        """
        deed = plan.new.deed
        if not isinstance(deed, ToolAct):
            return plan
        untried = await self.try_planned(deed.tool, deed.arguments, replace(call, device=plan.new.device))
        if untried is None:
            return plan
        if plan.warning is None:
            warning = untried
        else:
            warning = f"{plan.warning}; {untried}"
        return replace(plan, warning=warning)

    def shown(self, at_ms: int, zone: str | None = None) -> str:
        """A time with its day, which is "today" or "tomorrow" where it is; with seconds in the next minute."""
        now_ms = self.book.now_ms()
        moment = self.book.moment(at_ms, zone)
        today = self.book.moment(now_ms, zone).date()
        day = {0: "today", 1: "tomorrow"}.get((moment.date() - today).days, f"{moment:%A}")
        clock = "%H:%M:%S" if 0 <= at_ms - now_ms < _SECONDS_BELOW_MS else "%H:%M"
        return f"{day}, {moment:%Y-%m-%d} {moment.strftime(clock)} {moment:%Z}"

    def facts(self, schedule: Schedule, kind: type[F], **more: Any) -> F:
        """A schedule as it is shown; `more` are the fields that `kind` has besides."""
        deed = schedule.deed
        return filled(
            kind,
            schedule,
            schedule=schedule.schedule_id,
            when=schedule.said,
            kind=schedule.timing.__struct_config__.tag,
            asks_model=isinstance(deed, Prompt),
            tool=deed.tool if isinstance(deed, ToolAct) else None,
            device=device_of(schedule),
            problem=None if schedule.lost is None else lost_device(schedule).message,
            next=None if schedule.next_ms is None else self.shown(schedule.next_ms, schedule.zone),
            zone=schedule.zone or self.book.zone,
            person=schedule.person_id,
            by=self.name_of(schedule.person_id),
            allowed=[yes.text for yes in deed.allowed] if isinstance(deed, Prompt) else [],
            **more,
        )

    async def _deed(
        self, call: Call, do: str | None, tool: str | None, arguments: Mapping[str, Any], named: str | None
    ) -> tuple[Deed, str, str | None]:
        """The action, the action in words, and the device that it is for as things are now."""
        device = named or call.device
        scene = await self.scene(device)  # UnknownName
        if named is None and device is not None:  # where it was said; one without pins is not what it acts on
            device = scene.meant.name if scene.meant and scene.meant.board.pins else None
        if (do is None) == (tool is None):
            raise ToolRetry("give either `do` or `tool`", next_step="`do` is what to do then, in words")
        if tool is not None:
            given = arguments.get("device")
            if isinstance(given, str) and self.takes_device(tool):
                self.book.devices.get(given)  # UnknownName now, not when it is due
            act = ToolAct(tool, json.dumps(arguments, ensure_ascii=False))
            return act, f"{act.tool} {act.arguments}"[:MAX_WHAT_CHARS], device
        words = (do or "").strip()
        from microclaw.offline.dialogue import one_call  # loaded after the host's start

        there = device or (scene.meant.name if scene.meant else None)  # a board that joins later is not meant
        decided = one_call(words, scene)
        if isinstance(decided, Act):
            act = ToolAct(decided.tool, json.dumps(decided.arguments, ensure_ascii=False))
            return act, words[:MAX_WHAT_CHARS], there
        if isinstance(decided, Say) and self.offline:  # without a code it would be answered, and nothing done
            nothing = f"no model is set, and without one {words[:60]!r} does nothing"
            raise ScheduleRefused(
                nothing if decided.code is None else decided.text,
                next_step=decided.next_step or "say what to do, as in: turn on pin 4",
            )
        return Prompt(words), words[:MAX_WHAT_CHARS], there if self.offline else device
