"""Turns that no message of a person begins: of schedules, of the heartbeat, of tasks from devices. Knows no times."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from microclaw.agent.action_record import acts_of, without_empty_record
from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import ChatKey
from microclaw.agent.toolbox import Toolbox
from microclaw.apps.change_log import SCHEDULED, ChangeOrigin, change_origin, conversation_of
from microclaw.auth.gate import Effect, Gate, Permission
from microclaw.auth.people import OWNER
from microclaw.errors import OutcomeUnknown, TakenOver, ToolFailed
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Inbound, Step
from microclaw.link_server.tasks import TaskEnd, failure_text
from microclaw.operations.tool import ToolContext, ToolResult
from microclaw.schedules.devices import lost_device
from microclaw.schedules.runner import RunEnd, RunOutcome, Started
from microclaw.store.schedules import Once, Schedule, SchedulePrompt, ToolAction
from microclaw.text import without_fences

CHANNEL: Final = "device"


@dataclass(frozen=True, slots=True)
class AgentTasks:
    """A device is one conversation, so its tasks run one after the other."""

    inbox: Inbox
    gate: Gate

    async def run(
        self, device: str, text: str, tell: Callable[[str], None], waits: Callable[[str | None], None]
    ) -> TaskEnd:
        """Report the turn's steps and return its answer. Cancelling it stops the turn at its next step."""
        accepted = await self.inbox.accept(
            Inbound(CHANNEL, device, text, device=device, origin="device"), when_full="wait"
        )
        try:
            async with aclosing(accepted.events) as events:
                async for event in events:
                    match event:
                        case Answer():
                            await self.inbox.outbox.delivered(event.outbound_id, soon=True)
                            code = event.error_code
                            text = event.text
                            if code is None:
                                why = None
                            else:
                                why = failure_text(code, text, event.next_step)
                            return TaskEnd(is_done=code is None, text=why or text)
                        case ApprovalAsked():
                            waits(f"a yes of {self.gate.name_of(OWNER.person_id)}")
                        case ApprovalSettled():
                            waits(None)
                        case Step():
                            tell(f"{event.stage}: {event.text}")
        except BaseException:  # nobody waits for it any more
            self.inbox.cancel(CHANNEL, device, message_id=accepted.message_id)
            raise
        raise ToolFailed("the turn ended without an answer", next_step="the traceback is in the host's log")


MAX_BYTES: Final = 8 * 1024  # of HEARTBEAT.md

_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_IDLE_LINE: Final = re.compile(
    r"\s*(?:#.*|[-*_=\s]*|(?:[-*+]|\d+[.)])\s*(?:\[[xX]\].*|\[ \]\s*)?)"
)  # headings, rules, empty points, checked boxes
_NOTHING: Final = re.compile(r"\W*(?:nothing(?: to (?:do|tell|report))?|no news|none|ok|heartbeat[ _]ok)\W*", re.I)
_PROMPT: Final = """\
This is your regular look at the standing tasks of HEARTBEAT.md. Do what is due now, with your tools. Tell only what the
person should hear. When nothing is due and there is nothing to tell, answer with the one word NOTHING.

{tasks}"""

_log = logging.getLogger(__name__)


async def look_at_tasks(inbox: Inbox, read: Callable[[], str], home: ChatKey) -> Answer | None:
    """One look at HEARTBEAT.md, which `read` gives; None when it has no task. `home` is the owner's chat."""
    lines = _COMMENT.sub("", await asyncio.to_thread(read)).splitlines()
    tasks = "\n".join(line.rstrip() for line in lines if not _IDLE_LINE.fullmatch(line))
    if not tasks:
        return None
    inbound = Inbound(*home, _PROMPT.format(tasks=tasks), OWNER.person_id, origin="heartbeat")
    answer = await (await inbox.accept(inbound, when_full="wait")).answer()
    if answer is not None:
        if _says_something(answer):
            await inbox.outbox.give_back(answer.outbound_id)
        else:
            await inbox.outbox.delivered(answer.outbound_id)
    return answer


def _says_something(answer: Answer) -> bool:
    """Return True if the answer has news. Failures of a model repeat each time, so they only go to the log."""
    if answer.error_code is not None and not answer.actions:
        _log.warning("heartbeat: %s", answer.text)
        return False
    return bool(acts_of(answer.actions)) or _NOTHING.fullmatch(without_empty_record(answer.text)) is None


_SPEAKS: Final = frozenset({"say", "notify"})  # the person hears what these do


@dataclass(frozen=True, slots=True)
class ScheduledWork:
    """Does the work of schedules for schedules.runner. `tools` has no tool that makes schedules."""

    inbox: Inbox
    tools: Toolbox
    gate: Gate

    async def run(self, schedule: Schedule, due_ms: int, started: Started, note: str) -> RunOutcome:
        deed = schedule.deed
        if schedule.lost is not None and (isinstance(deed, SchedulePrompt) or self.tools.takes_device(deed.tool)):
            raise lost_device(schedule)
        key = f"schedule:{schedule.schedule_id}:{due_ms}"
        if isinstance(deed, SchedulePrompt):
            return await self._turn(schedule, deed.text, key, due_ms, note)
        where = (schedule.device, schedule.channel, schedule.chat_id)
        context = ToolContext(schedule.person_id, lambda _step: None, *where, begin=started)  # nobody follows it
        conversation = SCHEDULED + conversation_of(context.channel, context.chat_id)
        # Its arguments may be of a turn that had read text of others.
        with change_origin(ChangeOrigin(key, context.person_id, conversation, is_tainted=True)):
            result = await self.tools.call(deed.tool, deed.arguments, context, approved=schedule.approved)
        state = _run_end(result.error_code, is_ok=result.ok)
        return RunOutcome(state, _result_text(result), told=result.ok and deed.tool in _SPEAKS)

    def may_repeat(self, act: ToolAction) -> bool:
        return self.tools.effect_of(act.tool) is not Effect.ONCE

    def changes(self, act: ToolAction) -> bool:
        return self.tools.effect_of(act.tool) is not Effect.READ and act.tool not in _SPEAKS

    async def tell(self, schedule: Schedule, text: str) -> None:
        await self.inbox.outbox.push(schedule.channel, schedule.chat_id, text, person=schedule.person_id)

    async def _turn(self, schedule: Schedule, text: str, key: str, due_ms: int, note: str) -> RunOutcome:
        """Run a prompt as a turn of its chat.

        The inbox keeps the turn through a crash, and accepts the message of one run only once. The words of a schedule
        that runs once are as old as its time, so its turn does no act if that time is long ago.
        """
        self.gate.check(schedule.person_id, Permission.ACT, f"schedule {schedule.schedule_id}")
        chat = schedule.channel, schedule.chat_id
        sent_ms = due_ms if isinstance(schedule.timing, Once) else None
        inbound = Inbound(*chat, text, schedule.person_id, schedule.device, key=key, origin="schedule", sent_ms=sent_ms)
        if note and not await self.inbox.table.has(schedule.channel, key):
            await self.tell(schedule, f"schedule {schedule.schedule_id}: {note}")
        answer = await (await self.inbox.accept(inbound, when_full="wait")).answer()
        if answer is None:
            return RunOutcome("done", "its turn was taken up before", woke=True, told=True)
        await self.inbox.outbox.give_back(answer.outbound_id)
        used = answer.usage.input_tokens + answer.usage.output_tokens
        return RunOutcome(
            _run_end(answer.error_code, is_ok=answer.error_code is None), answer.text, woke=used > 0, told=True
        )


def _run_end(error_code: str | None, *, is_ok: bool) -> RunEnd:
    """Return how a run ended; "unknown" also if another host goes on with it."""
    if is_ok:
        return "done"
    return "unknown" if error_code in (OutcomeUnknown.code, TakenOver.code) else "failed"


def _result_text(result: ToolResult) -> str:
    """Return a tool's result as one line for the person."""
    fields = json.loads(result.content)
    if not result.ok:
        if result.person_step:
            then = f" (next: {result.person_step})"
        else:
            then = ""
        return f"{without_fences(str(fields.get('message', 'it failed')))}{then}"
    proofs = "; ".join(evidence.text for evidence in result.evidence)
    if proofs and "values" in fields:
        values = ", ".join(f"{name} {value}" for name, value in fields["values"].items())
        return f"{values} ({proofs})"
    return proofs or str(fields.get("message", "done"))
