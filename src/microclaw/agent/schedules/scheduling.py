"""Makes schedules: parses the time, plans the action and has it approved. Runs none.

Words that mean one tool call are planned as that call, which needs no model when it is due. Other words become a prompt
for the agent. A risky action is approved when the schedule is made, because the user may be absent when it is due.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from microclaw.agent.language.times import When, format_when
from microclaw.agent.models.protocol import DeviceContext
from microclaw.agent.offline.decision import Act, Say
from microclaw.agent.schedules.book import ScheduleBook
from microclaw.agent.schedules.devices import device_of, lost_device
from microclaw.agent.schedules.due import is_due_more_often, next_due
from microclaw.agent.schedules.results import ScheduleFacts
from microclaw.agent.schedules.runner import Executor, Runner
from microclaw.errors import PinCaution, ScheduleRefused, ToolRetry
from microclaw.host.operations.operation import OperationCall, Permission
from microclaw.host.operations.result import filled
from microclaw.host.operations.tool import PlannedCall, PlannedTrial
from microclaw.host.store.schedules import Action, Missed, Once, Schedule, SchedulePrompt, Timing, ToolAction

F = TypeVar("F", bound="ScheduleFacts")

MAX_WHAT_CHARS: Final = 200
_SHOW_SECONDS_BELOW_MS: Final = 60_000


class SchedulePlan(Struct, frozen=True):
    """A schedule to approve and store; `detail` lists exactly what would happen.

    `warning` says that it would ask for approval if it ran now, that its device is offline, that it asks a model too
    often, or what its trials show. `calls` are the calls that can be tried, `trials` how that went.
    """

    schedule: Schedule
    action: str
    detail: tuple[str, ...]
    warning: str | None
    calls: tuple[ToolAction, ...] = ()
    trials: tuple[PlannedTrial, ...] = ()


class _PlannedAction(NamedTuple):
    """The action of a schedule, the same in words, the device that it is for, and its calls that can be tried."""

    deed: Action
    what: str
    device: str | None
    calls: tuple[ToolAction, ...]


class _Review(NamedTuple):
    """What a user approves: what would happen, a warning, and the permission that it needs."""

    lines: list[str]
    warning: str | None
    permission: Permission = Permission.ACT


class ScheduleTools(Struct, frozen=True):
    """The tools that schedules call, as the agent offers them; none of them makes a schedule.

    `perform` does the work of a schedule. `try_planned` tries a tool call and returns what it would meet now.
    `reads_others` returns True for words that have a page or a server read. `prepare` returns the permission and
    effects of a tool call. `takes_device` returns True for a tool with a device argument. `scene` returns the devices
    as a sentence sees them, for a device by name. `is_offline`: there is no model.
    """

    perform: Executor
    prepare: Callable[[str, str, OperationCall], Awaitable[PlannedCall]]
    try_planned: Callable[[str, str, OperationCall], Awaitable[PlannedTrial]]
    takes_device: Callable[[str], bool]
    reads_others: Callable[[str], bool]
    scene: Callable[[str | None], Awaitable[DeviceContext]]
    is_offline: bool


class Scheduling(Struct, frozen=True):
    """Makes schedules and shows them. `name_of` returns a person's name.

    Without a model, words that no template matches are refused at once.
    """

    book: ScheduleBook
    runner: Runner
    tools: ScheduleTools
    name_of: Callable[[str], str]

    async def plan(
        self,
        call: OperationCall,
        when: str | When,
        *,
        do: str | None = None,
        tool: str | None = None,
        arguments: dict[str, Any] | None = None,
        device: str | None = None,
        timezone: str | None = None,
        missed: Missed | None = None,
    ) -> SchedulePlan:
        """Plan a schedule for words (`do`) or for a `tool` with its `arguments`. Stores nothing.

        Raises ScheduleRefused, ToolRetry for wrong arguments, PermissionRefused.
        """
        said = when if isinstance(when, str) else format_when(when)
        timing = self.book.timing(when, timezone)
        await self.book.check_room()
        planned = await self._plan_action(call, do, tool, arguments or {}, device)
        due_ms = next_due(timing, self.book.now_ms())
        if isinstance(planned.deed, ToolAction):
            review = await self._review_call(call, planned.deed, planned.device)
        else:
            review = self._review_prompt(planned.deed, planned.what, timing, due_ms)
        title = planned.what if tool is None else review.lines[0]
        lines = review.lines
        if due_ms is not None:
            lines.insert(0, f"first time: {self.format_time(due_ms, timezone)}")
        schedule = Schedule(
            said=said,
            what=planned.what,
            timing=timing,
            deed=planned.deed,
            person_id=call.person_id,
            channel=call.channel,
            chat_id=call.chat_id,
            device=planned.device,
            missed=missed or _default_missed(timing),
            approved=review.permission,
            next_ms=due_ms,
        )
        warning = _join_warnings(review.warning, await self._schedule_warning(schedule))
        return SchedulePlan(schedule, f"schedule {said}: {title}", tuple(lines), warning, planned.calls)

    async def try_calls(self, call: OperationCall, plan: SchedulePlan) -> SchedulePlan:
        """Try the calls of a plan, a program also on a virtual board. Return the plan with what they met.

        Raises what a call would fail with when it is due: BuildError, TrialFailed, PinRefused, ToolRetry.
        """
        due_call = replace(call, device=plan.schedule.device)
        warning = plan.warning
        trials = []
        for action in plan.calls:
            trial = await self.tools.try_planned(action.tool, action.arguments, due_call)
            warning = _join_warnings(warning, trial.warning)
            trials.append(trial)
        return replace(plan, warning=warning, trials=tuple(trials))

    async def approve(self, call: OperationCall, plan: SchedulePlan, *, force: bool) -> None:
        """Ask for a risky action, and for pins that need care: nobody may be there when it is due.

        Raises PinCaution without `force` for a command of this machine, which nobody is asked about.
        """
        cautions = list[str]()
        for trial in plan.trials:
            cautions += trial.cautions
        if not cautions:
            await call.approve(plan.action, plan.detail, None, plan.schedule.approved)
            return
        text = cautions[0]
        if len(cautions) > 1:
            text = f"it drives {len(cautions)} pins that need care"
        if call.direct and not force:
            step = "use another pin; or say yes: microclaw schedule add --force ..."
            raise PinCaution(f"{text}, so it is not planned without a yes", next_step=step)
        await call.approve(f"{text}: {plan.action}", (*cautions, *plan.detail), None, Permission.RISKY)
        for trial in plan.trials:
            await trial.keep_yes()

    def format_time(self, at_ms: int, zone: str | None = None) -> str:
        """Format a time with its weekday, "today" or "tomorrow"; with seconds if it is less than a minute away."""
        now_ms = self.book.now_ms()
        moment = self.book.moment(at_ms, zone)
        today = self.book.moment(now_ms, zone).date()
        days_away = (moment.date() - today).days
        if days_away == 0:
            day = "today"
        elif days_away == 1:
            day = "tomorrow"
        else:
            day = f"{moment:%A}"
        is_soon = 0 <= at_ms - now_ms < _SHOW_SECONDS_BELOW_MS
        clock = f"{moment:%H:%M:%S}" if is_soon else f"{moment:%H:%M}"
        return f"{day}, {moment:%Y-%m-%d} {clock} {moment:%Z}"

    def facts(self, schedule: Schedule, kind: type[F], failure: str | None = None, **more: Any) -> F:
        """Build the result `kind` for a schedule; `more` are its additional fields."""
        action = schedule.deed
        problem = None
        if schedule.lost is not None:
            problem = lost_device(schedule).message
        allowed = []
        tool = None
        if isinstance(action, ToolAction):
            tool = action.tool
        else:
            allowed = [approval.text for approval in action.allowed]
        next_time = None
        if schedule.next_ms is not None:
            next_time = self.format_time(schedule.next_ms, schedule.zone)
        return filled(
            kind,
            schedule,
            schedule=schedule.schedule_id,
            when=schedule.said,
            kind=schedule.timing.__struct_config__.tag,
            asks_model=isinstance(action, SchedulePrompt),
            tool=tool,
            device=device_of(schedule),
            problem=problem,
            next=next_time,
            zone=schedule.zone or self.book.zone,
            person=schedule.person_id,
            by=self.name_of(schedule.person_id),
            allowed=allowed,
            failure=failure,
            **more,
        )

    async def _review_call(self, call: OperationCall, act: ToolAction, device: str | None) -> _Review:
        """Ask the tool what its call would do. Raises ToolRetry for wrong arguments."""
        due_call = call if device is None else replace(call, device=device)
        prepared = await self.tools.prepare(act.tool, act.arguments, due_call)
        warning = None
        if prepared.objections:
            objections = " and ".join(prepared.objections)
            warning = f"{objections}; if that is so then, I ask for a yes before I do it"
        permission = Permission.ACT
        if prepared.permission is Permission.RISKY:
            permission = Permission.RISKY
        return _Review([prepared.action, *prepared.lines], warning, permission)

    def _review_prompt(self, prompt: SchedulePrompt, what: str, timing: Timing, due_ms: int | None) -> _Review:
        """Warn about a prompt that asks a model too often, or that waits for approval in each run."""
        warning = None
        limit = self.runner.wakes_an_hour
        if not self.tools.is_offline and is_due_more_often(timing, limit, due_ms):
            warning = f"it is paused when schedules ask a model more than {limit} times an hour"
        if self.tools.reads_others(prompt.text):
            waits = "if it reads a page, each run waits for a yes before it acts; its question can allow all runs"
            warning = _join_warnings(warning, waits)
        return _Review([what], warning)

    async def _schedule_warning(self, schedule: Schedule) -> str | None:
        """Return a warning if another schedule does the same at that time, or if its device is away."""
        warning = self._away_warning(device_of(schedule))
        other = await self.book.coinciding(schedule)
        if other is None:
            return warning
        return _join_warnings(warning, f"schedule {other.schedule_id} does the same at that time")

    def _away_warning(self, reference: str | None) -> str | None:
        """Return a warning if the device with this name or id is known to be away."""
        for device in self.book.devices.list():
            if reference in (device.name, device.device_id) and device.is_away:
                return f"{device.name} is away now"
        return None

    async def _plan_action(
        self, call: OperationCall, do: str | None, tool: str | None, arguments: Mapping[str, Any], device: str | None
    ) -> _PlannedAction:
        """Plan the action for the devices as they are now. Raises UnknownName for `device`."""
        target = device or call.device
        scene = await self.tools.scene(target)
        if (do is None) == (tool is None):
            raise ToolRetry("give either `do` or `tool`", next_step="`do` is what to do then, in words")
        if device is None and target is not None:
            target = _device_with_pins(scene)  # the sentence came from a device, perhaps from one without pins
        if tool is not None:
            return self._plan_tool(tool, arguments, target)
        return self._plan_words((do or "").strip(), scene, target)

    def _plan_tool(self, tool: str, arguments: Mapping[str, Any], device: str | None) -> _PlannedAction:
        reference = arguments.get("device")
        if isinstance(reference, str) and self.tools.takes_device(tool):
            self.book.devices.get(reference)  # raises UnknownName now, not when the schedule is due
        act = ToolAction(tool, json.dumps(arguments, ensure_ascii=False))
        what = f"{act.tool} {act.arguments}"
        return _PlannedAction(act, what[:MAX_WHAT_CHARS], device, (act,))

    def _plan_words(self, words: str, scene: DeviceContext, device: str | None) -> _PlannedAction:
        from microclaw.agent.offline.dialogue import driving_calls, one_call  # loaded after the host's start

        # The device of now is stored, so that a board that joins later does not make the words ambiguous.
        current_device = device
        if not current_device and scene.meant is not None:
            current_device = scene.meant.name
        what = words[:MAX_WHAT_CHARS]
        decision = one_call(words, scene)
        if isinstance(decision, Act):
            act = _tool_action(decision)
            return _PlannedAction(act, what, current_device, (act,))
        if isinstance(decision, Say) and self.tools.is_offline:
            text = decision.text
            if decision.code is None:  # an answer that does nothing
                text = f"no model is set, and without one {words[:60]!r} does nothing"
            raise ScheduleRefused(text, next_step=decision.next_step or "say what to do, as in: turn on pin 4")
        calls = tuple(map(_tool_action, driving_calls(words, scene)))
        prompt_device = current_device if self.tools.is_offline else device
        return _PlannedAction(SchedulePrompt(words), what, prompt_device, calls)


def _tool_action(act: Act) -> ToolAction:
    return ToolAction(act.tool, json.dumps(act.arguments, ensure_ascii=False))


def _default_missed(timing: Timing) -> Missed:
    if isinstance(timing, Once):
        return "run"
    return "skip"


def _join_warnings(first: str | None, second: str | None) -> str | None:
    if first is None or second is None:
        return first or second
    return f"{first}; {second}"


def _device_with_pins(scene: DeviceContext) -> str | None:
    """Return the name of the device that a sentence means, if its board has pins."""
    if scene.meant is None or not scene.meant.board.pins:
        return None
    return scene.meant.name
