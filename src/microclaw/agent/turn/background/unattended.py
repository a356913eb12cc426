"""Turns that no person's message begins: of schedules, of the heartbeat, of devices' tasks. It keeps no time."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from microclaw.agent.schedules.devices import lost_device
from microclaw.agent.schedules.runner import RunEnd, RunOutcome, Started
from microclaw.agent.turn.action_record import acts_of, without_empty_record
from microclaw.agent.turn.inbox import Inbox
from microclaw.agent.turn.outbox import ChatKey
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.devices.link.tasks import TaskEnd, failure_text
from microclaw.errors import OutcomeUnknown, TakenOver, ToolFailed
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Inbound, Step
from microclaw.host.auth.gate import Gate
from microclaw.host.auth.people import OWNER
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import ToolContext, ToolResult
from microclaw.host.store.schedules import Once, Schedule, SchedulePrompt, ToolAction
from microclaw.programs.changes.change_log import SCHEDULED, ChangeOrigin, change_origin, conversation_of
from microclaw.text import without_fences

CHANNEL: Final = "device"


@dataclass(frozen=True, slots=True)
class AgentTasks:
    """The tasks of devices. A device is one conversation, so its tasks run one after the other."""

    inbox: Inbox
    gate: Gate

    async def run(
        self, device: str, text: str, tell: Callable[[str], None], waits: Callable[[str | None], None]
    ) -> TaskEnd:
        """Report the turn's steps and return its answer. Cancelling this stops the turn at its next step."""
        accepted = await self.inbox.accept(
            Inbound(CHANNEL, device, text, device=device, origin="device"), when_full="wait"
        )
        try:
            async with aclosing(accepted.events) as events:
                async for event in events:
                    match event:
                        case Answer():
                            await self.inbox.outbox.note_delivered(event.outbound_id, soon=True)
                            return _task_end(event)
                        case ApprovalAsked():
                            waits(f"a yes of {self.gate.name_of(OWNER.person_id)}")
                        case ApprovalSettled():
                            waits(None)
                        case Step():
                            tell(f"{event.stage}: {event.text}")
        # Nothing waits for the turn any more.
        except BaseException:
            self.inbox.cancel(CHANNEL, device, message_id=accepted.message_id)
            raise
        raise ToolFailed("the turn ended without an answer", next_step="the traceback is in the host's log")


def _task_end(answer: Answer) -> TaskEnd:
    if answer.error_code is None:
        return TaskEnd(is_done=True, text=answer.text)
    return TaskEnd(is_done=False, text=failure_text(answer.error_code, answer.text, answer.next_step))


# Of HEARTBEAT.md.
MAX_BYTES: Final = 8 * 1024

_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
# Headings, rules, empty points and checked boxes.
_IDLE_LINE: Final = re.compile(r"\s*(?:#.*|[-*_=\s]*|(?:[-*+]|\d+[.)])\s*(?:\[[xX]\].*|\[ \]\s*)?)")
_NOTHING: Final = re.compile(r"\W*(?:nothing(?: to (?:do|tell|report))?|no news|none|ok|heartbeat[ _]ok)\W*", re.I)
_PROMPT: Final = """\
This is your regular look at the standing tasks of HEARTBEAT.md. Do what is due now, with your tools. Tell only what the
person should hear. When nothing is due and there is nothing to tell, answer with the one word NOTHING.

{tasks}"""

_log = logging.getLogger(__name__)


async def look_at_tasks(inbox: Inbox, read: Callable[[], str], home: ChatKey) -> Answer | None:
    """Run one turn over HEARTBEAT.md, which `read` returns, and return its answer; None if the file has no task.

    `home` is the owner's chat.
    """
    lines = _COMMENT.sub("", await asyncio.to_thread(read)).splitlines()
    tasks = "\n".join(line.rstrip() for line in lines if not _IDLE_LINE.fullmatch(line))
    if not tasks:
        return None
    inbound = Inbound(*home, _PROMPT.format(tasks=tasks), OWNER.person_id, origin="heartbeat")
    accepted = await inbox.accept(inbound, when_full="wait")
    answer = await accepted.answer()
    if answer is not None:
        if _says_something(answer):
            await inbox.outbox.give_back(answer.outbound_id)
        else:
            await inbox.outbox.note_delivered(answer.outbound_id)
    return answer


def _says_something(answer: Answer) -> bool:
    """Return True if the answer has news. Failures of a model repeat each time, so they only go to the log."""
    if answer.error_code is not None and not answer.actions:
        _log.warning("heartbeat: %s", answer.text)
        return False
    return bool(acts_of(answer.actions)) or _NOTHING.fullmatch(without_empty_record(answer.text)) is None


# Tools whose effect the person hears anyway.
_SPEAKS: Final = frozenset({"say", "notify"})


@dataclass(frozen=True, slots=True)
class ScheduledWork:
    """The work of schedules, for schedules.runner. `tools` has no tool that makes schedules."""

    inbox: Inbox
    tools: Toolbox
    gate: Gate

    async def run(self, schedule: Schedule, due_ms: int, started: Started, note: str) -> RunOutcome:
        """Run a schedule's prompt or tool. `note` is a text for the person first.

        Raises the error of a lost device; raises PermissionRefused.
        """
        work = schedule.deed
        needs_device = isinstance(work, SchedulePrompt) or self.tools.takes_device(work.tool)
        if schedule.lost is not None and needs_device:
            raise lost_device(schedule)
        key = f"schedule:{schedule.schedule_id}:{due_ms}"
        if isinstance(work, SchedulePrompt):
            return await self._run_prompt(schedule, work.text, key, due_ms, note)
        return await self._run_tool(schedule, work, key, started)

    async def _run_tool(self, schedule: Schedule, action: ToolAction, key: str, started: Started) -> RunOutcome:
        context = ToolContext(
            schedule.person_id,
            # The runner reports the outcome, so the steps are dropped.
            lambda _step: None,
            schedule.device,
            schedule.channel,
            schedule.chat_id,
            begin=started,
        )
        conversation = SCHEDULED + conversation_of(context.channel, context.chat_id)
        # Its arguments may come from a turn that had read untrusted text.
        origin = ChangeOrigin(key, context.person_id, conversation, is_tainted=True)
        with change_origin(origin):
            result = await self.tools.call(action.tool, action.arguments, context, approved=schedule.approved)
        state = _run_end(result.error_code, is_ok=result.ok)
        return RunOutcome(state, _result_text(result), is_reported=result.ok and action.tool in _SPEAKS)

    def may_repeat(self, act: ToolAction) -> bool:
        return self.tools.effect_of(act.tool) is not Effect.ONCE

    def changes(self, act: ToolAction) -> bool:
        return self.tools.effect_of(act.tool) is not Effect.READ and act.tool not in _SPEAKS

    async def tell(self, schedule: Schedule, text: str) -> None:
        await self.inbox.outbox.push(schedule.channel, schedule.chat_id, text, person=schedule.person_id)

    async def _run_prompt(self, schedule: Schedule, text: str, key: str, due_ms: int, note: str) -> RunOutcome:
        """Run a prompt as a turn of its chat.

        The inbox keeps the turn through a crash, and accepts the message of one run only once. The words of a schedule
        that runs once are as old as its time, so its turn does no act if that time is long ago.
        """
        self.gate.check(schedule.person_id, Permission.ACT, f"schedule {schedule.schedule_id}")
        sent_ms = due_ms if isinstance(schedule.timing, Once) else None
        inbound = Inbound(
            schedule.channel,
            schedule.chat_id,
            text,
            schedule.person_id,
            schedule.device,
            key=key,
            origin="schedule",
            sent_ms=sent_ms,
        )
        if note and await self.inbox.table.number_of(schedule.channel, key) is None:
            await self.tell(schedule, f"schedule {schedule.schedule_id}: {note}")
        accepted = await self.inbox.accept(inbound, when_full="wait")
        answer = await accepted.answer()
        if answer is None:
            return RunOutcome("done", "its turn was begun before", used_model=True, is_reported=True)
        await self.inbox.outbox.give_back(answer.outbound_id)
        used_tokens = answer.usage.input_tokens + answer.usage.output_tokens
        state = _run_end(answer.error_code, is_ok=answer.error_code is None)
        return RunOutcome(state, answer.text, used_model=used_tokens > 0, is_reported=True)


def _run_end(error_code: str | None, *, is_ok: bool) -> RunEnd:
    """Return the end of a run; "unknown" also if another host continues it."""
    if is_ok:
        return "done"
    return "unknown" if error_code in (OutcomeUnknown.code, TakenOver.code) else "failed"


def _result_text(result: ToolResult) -> str:
    """Return a tool's result as one line for the person."""
    fields = json.loads(result.content)
    if not result.ok:
        message = without_fences(str(fields.get("message", "it failed")))
        if result.person_step:
            return f"{message} (next: {result.person_step})"
        return message
    proofs = "; ".join(evidence.text for evidence in result.evidence)
    if proofs and "values" in fields:
        values = ", ".join(f"{name} {value}" for name, value in fields["values"].items())
        return f"{values} ({proofs})"
    return proofs or str(fields.get("message", "done"))
