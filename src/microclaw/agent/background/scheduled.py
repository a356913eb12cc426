"""Does what a schedule says: a call worked out before, or a turn in the chat it was made in. It knows no times."""

from __future__ import annotations

import json
from typing import Final, assert_never

from microclaw.agent.inbox import Inbox
from microclaw.auth.gate import Effect, Gate, Permission
from microclaw.events import Answer, Inbound, Step
from microclaw.schedules.devices import lost_device
from microclaw.schedules.entry import Prompt, Schedule, ToolAct
from microclaw.schedules.runner import Outcome, Started
from microclaw.tools.tool import ToolContext, ToolResult
from microclaw.tools.toolbox import Toolbox

_SPEAKS: Final = frozenset({"say", "notify"})  # the person hears what these do


class ScheduledWork:
    """The runner's hands (knowledge.schedule.runner.Perform). `tools` has none that makes schedules."""

    def __init__(self, *, inbox: Inbox, tools: Toolbox, gate: Gate) -> None:
        self._inbox = inbox
        self._tools = tools
        self._gate = gate

    async def run(self, schedule: Schedule, due_ms: int, started: Started, note: str) -> Outcome:
        if schedule.lost is not None and self._needs_device(schedule):
            raise lost_device(schedule)
        match schedule.deed:
            case ToolAct():
                return await self._call(schedule, schedule.deed, started)
            case Prompt(text):
                return await self._turn(schedule, text, due_ms, note)
        assert_never(schedule.deed)

    def may_repeat(self, schedule: Schedule) -> bool:
        deed = schedule.deed
        return isinstance(deed, Prompt) or self._tools.effect_of(deed.tool) is not Effect.ONCE

    async def tell(self, schedule: Schedule, text: str) -> None:
        await self._inbox.outbox.push(schedule.channel, schedule.chat_id, text, person=schedule.principal)

    def _needs_device(self, schedule: Schedule) -> bool:
        """A call that has no place for a device does without."""
        deed = schedule.deed
        if isinstance(deed, Prompt):
            return True
        return any(one.name == deed.tool and "device" in one.parameters.model_fields for one in self._tools.tools)

    async def _call(self, schedule: Schedule, act: ToolAct, started: Started) -> Outcome:
        context = ToolContext(
            schedule.principal,
            _no_report,
            schedule.device,
            schedule.channel,
            schedule.chat_id,
            begin=started,
        )
        result = await self._tools.call(act.tool, act.arguments, context, approved=schedule.approved)
        text = _result_text(result)
        return Outcome("done" if result.ok else "failed", text, told=result.ok and act.tool in _SPEAKS)

    async def _turn(self, schedule: Schedule, text: str, due_ms: int, note: str) -> Outcome:
        """The inbox keeps the turn through a crash; the same run's message comes in once."""
        self._gate.check(schedule.principal, Permission.ACT, f"schedule {schedule.schedule_id}")
        key = f"schedule:{schedule.schedule_id}:{due_ms}"
        inbound = Inbound(
            schedule.channel,
            schedule.chat_id,
            text,
            schedule.principal,
            schedule.device,
            key=key,
            origin="schedule",
        )
        if note and not await self._inbox.has(schedule.channel, key):
            await self.tell(schedule, f"schedule {schedule.schedule_id}: {note}")
        accepted = await self._inbox.accept(inbound)
        answer: Answer | None = None
        async for event in accepted.events:
            if isinstance(event, Answer):
                answer = event
        if answer is None:
            return Outcome("done", "its turn was taken up before", woke=True, told=True)
        if answer.outbound_id is not None:
            self._inbox.outbox.give_back(answer.outbound_id)
        used = answer.usage.input_tokens + answer.usage.output_tokens
        return Outcome("failed" if answer.error_code else "done", answer.text, woke=used > 0, told=True)


def _result_text(result: ToolResult) -> str:
    """A tool's result in a line for the person."""
    fields = json.loads(result.content)
    if not result.ok:
        then = f" (next: {result.next_step})" if result.next_step else ""
        return f"{fields.get('message', 'it failed')}{then}"
    proofs = "; ".join(evidence.text for evidence in result.evidence)
    if proofs and "values" in fields:
        values = ", ".join(f"{name} {value}" for name, value in fields["values"].items())
        return f"{values} ({proofs})"
    return proofs or str(fields.get("message", "done"))


def _no_report(_: Step) -> None:
    """Nobody follows a call that a schedule makes."""
