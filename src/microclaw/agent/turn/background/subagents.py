"""Background turns with a prompt and tools of their own, limited in number, time and tokens. None starts another.

A subagent acts for the person who asked, and asks for approval in that person's chat. If its parent had read untrusted
text, it asks too. It ends with the host; the journal has the calls that it began.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from microclaw.agent.models.protocol import Model, UserText
from microclaw.agent.turn.background.results import Subagent
from microclaw.agent.turn.context import TurnContext
from microclaw.agent.turn.model_requests import TurnLimits
from microclaw.agent.turn.outbox import Outbox
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.agent.turn.turn import Turn
from microclaw.agent.turn.turn_journal import TurnJournal
from microclaw.agent.turn.turn_request import TurnRequest
from microclaw.errors import MicroclawError, Overloaded, PermissionRefused, ToolRetry, UnknownName
from microclaw.events import Inbound
from microclaw.host.auth.people import Roles, may_see
from microclaw.host.operations.operation import Permission
from microclaw.host.operations.tool import ToolContext
from microclaw.host.store.journal import Journal
from microclaw.programs.changes.change_log import current_origin

SUBAGENT_S: Final = 300.0
# Ended subagents that are still listed.
KEPT: Final = 32
_MAX_PUSH_CHARS: Final = 4000
_PROMPT: Final = """\
You work in the background on one task, alone: nobody reads what you say before your last answer, so ask no questions.
Your answer is the result: short, complete, and only what the tools showed.

Task: {task}"""

_log = logging.getLogger(__name__)


class SubagentLimits(TurnLimits, frozen=True):
    """The limits of subagents. `count` run at the same time; `tokens` limits each, without its last request."""

    count: int = 4
    turn_s: float = SUBAGENT_S
    tokens: int | None = 60_000


@dataclass(eq=False, slots=True)
class Subagents:
    """The running and the latest subagents. `tools` are all that a subagent may have; none of them starts another."""

    model: Model
    tools: Toolbox
    context: TurnContext
    journal: Journal
    outbox: Outbox
    roles: Roles
    limits: SubagentLimits
    now_s: Callable[[], float] = time.time
    _subagents: dict[str, Subagent] = field(default_factory=dict)
    # Of the subagents that run.
    _turns: dict[str, tuple[Turn, asyncio.Task[None]]] = field(default_factory=dict)
    _group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Let subagents run inside. Leaving cancels them."""
        async with asyncio.TaskGroup() as self._group:
            try:
                yield
            finally:
                self._group = None
                for _, task in self._turns.values():
                    task.cancel()

    async def start(self, task: str, names: Collection[str] | None, context: ToolContext) -> Subagent:
        """Start a subagent. `names` None means all tools that only read.

        Raises Overloaded, or ToolRetry for an unknown name.
        """
        inbound = Inbound(context.channel, context.chat_id, task, context.person_id, context.device)
        now_s = self.now_s()
        prompt = await self.context.prompt(inbound, int(now_s))
        if self._group is None or len(self._turns) >= self.limits.count:
            text = f"{len(self._turns)} subagents work already, {self.limits.count} is the limit"
            raise Overloaded(text, next_step="wait for one, or cancel it: microclaw task subagents")
        tool_names = self._select_tools(names)
        subagent_id = secrets.token_hex(3)
        began_ms = int(now_s * 1000)
        tainted_s = int(now_s) if context.foreign else None
        request = TurnRequest(
            inbound,
            UserText(_PROMPT.format(task=task)),
            prompt,
            task="subagent",
            at_s=int(now_s),
            tainted_s=tainted_s,
            part_of=current_origin().turn,
            conversation=current_origin().conversation,
        )
        journal = TurnJournal(self.journal, f"subagent-{began_ms}-{subagent_id}")
        tools = self.tools.only(tool_names)
        turn = Turn(request, journal, self.model, tools, self.limits, self.context.window)
        subagent = Subagent(
            subagent=subagent_id,
            task=task,
            tools=tool_names,
            person=context.person_id,
            began_ms=began_ms,
            foreign=context.foreign,
        )
        self._subagents[subagent_id] = subagent
        work = self._group.create_task(self._work(subagent, turn, inbound), name=f"subagent {subagent_id}")
        self._turns[subagent_id] = turn, work
        self._forget_oldest()
        return subagent

    def _select_tools(self, names: Collection[str] | None) -> list[str]:
        """Return the names of the tools of a new subagent. Raises ToolRetry for an unknown name."""
        tools = {tool.name: tool for tool in self.tools.tools}
        if names is None:
            return [name for name, tool in tools.items() if tool.permission is Permission.READ]
        unknown_names = [name for name in names if name not in tools]
        if unknown_names:
            text = f"a subagent cannot have {', '.join(unknown_names)[:120]}"
            raise ToolRetry(text, next_step=f"tools: {', '.join(tools)}")
        return list(dict.fromkeys(names))

    def _forget_oldest(self) -> None:
        """Forget the subagents that ended first, beyond KEPT."""
        ended_ids = [subagent_id for subagent_id in self._subagents if subagent_id not in self._turns]
        for subagent_id in ended_ids[:-KEPT]:
            del self._subagents[subagent_id]

    def of_person(self, person_id: str) -> list[Subagent]:
        """Return the subagents that a person may see: an owner all, others their own; the latest last."""
        for subagent_id, (turn, _) in self._turns.items():
            self._subagents[subagent_id].tokens = turn.tokens
        return [subagent for subagent in self._subagents.values() if may_see(self.roles, subagent.person, person_id)]

    def cancel(self, subagent_id: str, person_id: str) -> None:
        """Stop a subagent at the next safe point; a running tool call is finished.

        Raises UnknownName, PermissionRefused.
        """
        subagent = self._subagents.get(subagent_id)
        if subagent is None:
            raise UnknownName(f"there is no subagent {subagent_id[:40]!r}", next_step="microclaw task subagents")
        if not may_see(self.roles, subagent.person, person_id):
            raise PermissionRefused(f"subagent {subagent_id} is another person's", next_step="ask the owner")
        if subagent_id in self._turns:
            turn, _ = self._turns[subagent_id]
            turn.stop()

    async def _work(self, subagent: Subagent, turn: Turn, inbound: Inbound) -> None:
        """Run the turn, note its end and send the result into its chat."""
        try:
            # Only the result is sent, so its events are dropped.
            answer = await turn.run(lambda _event: None)
            subagent.state = "done" if answer.error_code is None else "failed"
            if answer.error_code == "cancelled":
                subagent.state = "cancelled"
            subagent.result = answer.text
            subagent.foreign = subagent.foreign or answer.tainted_s is not None
        except asyncio.CancelledError:
            subagent.state = "cancelled"
            subagent.result = "the host ended; acts that had begun may have been done"
            raise
        finally:
            subagent.tokens = turn.tokens
            del self._turns[subagent.subagent]
        text = f"subagent {subagent.subagent} ({inbound.text[:80]}) {subagent.state}: {subagent.result}"
        try:
            await self.outbox.push(inbound.channel, inbound.chat_id, text[:_MAX_PUSH_CHARS], person=inbound.person_id)
        except MicroclawError as exc:
            _log.warning("the result of subagent %s could not be sent: %s", subagent.subagent, exc.message)
