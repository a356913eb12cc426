"""Background turns with a prompt and tools of their own, limited in number, time and tokens. None starts another.

A subagent acts for the person who asked, and asks for approval in that person's chat. If its parent had read untrusted
text, it asks too. It ends with the host; the journal has what it began.
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

from microclaw.agent.background.operations import Subagent
from microclaw.agent.context import TurnContext
from microclaw.agent.model_requests import TurnLimits
from microclaw.agent.outbox import Outbox
from microclaw.agent.toolbox import Toolbox
from microclaw.agent.turn import Turn, TurnRequest
from microclaw.agent.turn_journal import TurnJournal
from microclaw.apps.change_log import maker_now
from microclaw.auth.gate import Permission
from microclaw.auth.people import Roles, may_see
from microclaw.errors import MicroclawError, Overloaded, PermissionRefused, ToolRetry, UnknownName
from microclaw.events import Inbound
from microclaw.models.protocol import Model, UserText
from microclaw.operations.tool import ToolContext
from microclaw.store.journal import Journal

SUBAGENT_S: Final = 300.0
KEPT: Final = 32  # ended subagents that are still listed
_MAX_PUSH_CHARS: Final = 4000
_PROMPT: Final = """\
You work in the background on one task, alone: nobody reads what you say before your last answer, so ask no questions.
Your answer is the result: short, complete, and only what the tools showed.

Task: {task}"""

_log = logging.getLogger(__name__)


class SubagentLimits(TurnLimits, frozen=True):
    """`count` run at the same time; `tokens` limits one of them, without its last request."""

    count: int = 4
    turn_s: float = SUBAGENT_S
    tokens: int | None = 60_000


@dataclass(eq=False, slots=True)
class Subagents:
    """The running and the latest subagents. `tools` are those that one may have; none of them starts another."""

    model: Model
    tools: Toolbox
    context: TurnContext
    journal: Journal
    outbox: Outbox
    roles: Roles
    limits: SubagentLimits
    now_s: Callable[[], float] = time.time
    _known: dict[str, Subagent] = field(default_factory=dict)
    _turns: dict[str, tuple[Turn, asyncio.Task[None]]] = field(default_factory=dict)  # of those that run
    _group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Inside, subagents run; leaving cancels them."""
        async with asyncio.TaskGroup() as self._group:
            try:
                yield
            finally:
                self._group = None
                for _, task in self._turns.values():
                    task.cancel()

    async def start(self, task: str, names: Collection[str] | None, context: ToolContext) -> Subagent:
        """Start one; `names` None means all tools that only read. Raises Overloaded, or ToolRetry for a wrong name."""
        inbound = Inbound(context.channel, context.chat_id, task, context.person_id, context.device)
        now_s = self.now_s()
        prompt = await self.context.prompt(inbound, int(now_s))
        if self._group is None or len(self._turns) >= self.limits.count:
            text = f"{len(self._turns)} subagents work already, {self.limits.count} is the limit"
            raise Overloaded(text, next_step="wait for one, or cancel it: microclaw task subagents")
        chosen = self._chosen(names)
        subagent_id = secrets.token_hex(3)
        began_ms = int(now_s * 1000)
        request = TurnRequest(
            inbound,
            UserText(_PROMPT.format(task=task)),
            prompt,
            task="subagent",
            at_s=int(now_s),
            tainted_s=int(now_s) if context.foreign else None,
            part_of=maker_now().turn,
            conversation=maker_now().conversation,
        )
        journal = TurnJournal(self.journal, f"subagent-{began_ms}-{subagent_id}")
        tools = self.tools.only(chosen)
        turn = Turn(request, journal, self.model, tools, self.limits, self.context.window)
        whose = context.person_id
        foreign = context.foreign
        made = self._known[subagent_id] = Subagent(
            subagent=subagent_id, task=task, tools=chosen, person=whose, began_ms=began_ms, foreign=foreign
        )
        work = self._group.create_task(self._work(made, turn, inbound), name=f"subagent {subagent_id}")
        self._turns[subagent_id] = turn, work
        for old in [name for name in self._known if name not in self._turns][:-KEPT]:
            del self._known[old]
        return made

    def _chosen(self, names: Collection[str] | None) -> list[str]:
        """Return the names of the tools of a new subagent. Raises ToolRetry for an unknown name."""
        known = {tool.name: tool for tool in self.tools.tools}
        if names is None:
            return [name for name, tool in known.items() if tool.permission is Permission.READ]
        unknown = [name for name in names if name not in known]
        if unknown:
            text = f"a subagent cannot have {', '.join(unknown)[:120]}"
            raise ToolRetry(text, next_step=f"tools: {', '.join(known)}")
        return list(dict.fromkeys(names))

    def of_person(self, person_id: str) -> list[Subagent]:
        """All of them for an owner, else the person's own; the latest last."""
        for name, (turn, _) in self._turns.items():
            self._known[name].tokens = turn.tokens
        return [one for one in self._known.values() if may_see(self.roles, one.person, person_id)]

    def cancel(self, subagent_id: str, person_id: str) -> None:
        """Stop it at the next safe point; a running tool call is finished. Raises UnknownName, PermissionRefused."""
        found = self._known.get(subagent_id)
        if found is None:
            raise UnknownName(f"there is no subagent {subagent_id[:40]!r}", next_step="microclaw task subagents")
        if not may_see(self.roles, found.person, person_id):
            raise PermissionRefused(f"subagent {subagent_id} is somebody else's", next_step="ask the owner")
        if subagent_id in self._turns:
            self._turns[subagent_id][0].stop()

    async def _work(self, subagent: Subagent, turn: Turn, to: Inbound) -> None:
        try:
            answer = await turn.run(lambda _event: None)  # nobody follows it
            subagent.state = "done" if answer.error_code is None else "failed"
            if answer.error_code == "cancelled":
                subagent.state = "cancelled"
            subagent.result = answer.text
            subagent.foreign = subagent.foreign or answer.tainted_s is not None
        except asyncio.CancelledError:
            subagent.state = "cancelled"
            subagent.result = "the host ended; what had begun may have been done"
            raise
        finally:
            subagent.tokens = turn.tokens
            del self._turns[subagent.subagent]
        text = f"subagent {subagent.subagent} ({to.text[:80]}) {subagent.state}: {subagent.result}"
        try:
            await self.outbox.push(to.channel, to.chat_id, text[:_MAX_PUSH_CHARS], person=to.person_id)
        except MicroclawError as exc:
            _log.warning("the result of subagent %s could not be sent: %s", subagent.subagent, exc.message)
