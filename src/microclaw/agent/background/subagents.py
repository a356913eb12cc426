"""Background turns with a prompt and tools of their own, limited in number, time and tokens. None starts another.

A subagent acts for the person who asked, and asks for approval in that person's chat. If its parent had read untrusted
text, it asks too. It ends with the host; the journal has what it began.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from microclaw.agent.context import TurnContext
from microclaw.agent.outbox import Outbox
from microclaw.agent.toolbox import Toolbox
from microclaw.agent.turn import Turn, TurnLimits, TurnRequest
from microclaw.agent.turn_journal import TurnJournal
from microclaw.apps.change_log import maker_now
from microclaw.auth.gate import Permission
from microclaw.auth.people import Roles
from microclaw.errors import MicroclawError, Overloaded, PermissionRefused, ToolRetry, UnknownName
from microclaw.events import Inbound
from microclaw.models.protocol import Model, UserText
from microclaw.operations.tool import ToolContext
from microclaw.store.journal import Journal

SubagentState: TypeAlias = Literal["running", "done", "failed", "cancelled"]

KEPT: Final = 32  # ended subagents that are still listed
_MAX_PUSH_CHARS: Final = 4000
_PROMPT: Final = """\
You work in the background on one task, alone: nobody reads what you say before your last answer, so ask no questions.
Your answer is the result: short, complete, and only what the tools showed.

Task: {task}"""

_STATES: Final[Mapping[str | None, SubagentState]] = {None: "done", "cancelled": "cancelled"}
_log = logging.getLogger(__name__)


class SubagentLimits(TurnLimits, frozen=True):
    """`count` run at the same time; `tokens` limits one of them, without its last request."""

    count: int = 4
    turn_s: float = 300.0
    tokens: int | None = 60_000


@dataclass(slots=True, eq=False)
class Subagent:
    """`inbound` is its task in the name and chat of who asked; `result` its answer, or why there is none."""

    subagent_id: str
    inbound: Inbound
    tools: tuple[str, ...]
    began_ms: int
    foreign: bool
    turn: Turn
    state: SubagentState = "running"
    result: str = ""
    work: asyncio.Task[None] | None = None

    @property
    def tokens(self) -> int:
        return self.turn.tokens


class Subagents:
    """The running and the latest subagents. `tools` are those that one may have; none of them starts another."""

    def __init__(
        self,
        *,
        model: Model,
        tools: Toolbox,
        context: TurnContext,
        journal: Journal,
        outbox: Outbox,
        roles: Roles,
        limits: SubagentLimits | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._model = model
        self._tools = tools
        self._context = context
        self._journal = journal
        self._outbox = outbox
        self._roles = roles
        self._limits = limits or SubagentLimits()
        self._now_s = now_s
        self._known: dict[str, Subagent] = {}
        self._group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Inside, subagents run; leaving cancels them."""
        async with asyncio.TaskGroup() as self._group:
            try:
                yield
            finally:
                self._group = None
                for one in self._known.values():
                    if one.work is not None:
                        one.work.cancel()

    async def start(self, task: str, names: Collection[str] | None, context: ToolContext) -> Subagent:
        """Start one; `names` None means all tools that only read. Raises Overloaded, or ToolRetry for a wrong name."""
        inbound = Inbound(context.channel, context.chat_id, task, context.person_id, context.device)
        prompt = await self._context.prompt(inbound)
        chosen = self.check_start(names)
        assert self._group is not None  # `check_start` has seen it
        subagent_id, now_s = secrets.token_hex(3), self._now_s()
        began_ms = int(now_s * 1000)
        request = TurnRequest(
            inbound,
            UserText(_PROMPT.format(task=task)),
            prompt,
            task="subagent",
            at_s=int(now_s),
            tainted_s=int(now_s) if context.foreign else None,
            part_of=maker_now().turn,
        )
        turn = Turn(
            request,
            TurnJournal(self._journal, f"subagent-{began_ms}-{subagent_id}"),
            model=self._model,
            tools=self._tools.only(chosen),
            limits=self._limits,
            window=self._context.window,
        )
        made = self._known[subagent_id] = Subagent(subagent_id, inbound, chosen, began_ms, context.foreign, turn)
        for old in [one for one in self._known.values() if one.state != "running"][:-KEPT]:
            del self._known[old.subagent_id]
        made.work = self._group.create_task(self._work(made), name=f"subagent {subagent_id}")
        return made

    def check_start(self, names: Collection[str] | None) -> tuple[str, ...]:
        """The tools of one that may start now; raises what `start` would raise."""
        running = sum(one.state == "running" for one in self._known.values())
        if self._group is None or running >= self._limits.count:
            raise Overloaded(
                f"{running} subagents work already, {self._limits.count} is the limit",
                next_step="wait for one, or cancel it: microclaw task subagents",
            )
        known = {tool.name: tool for tool in self._tools.tools}
        if names is None:
            return tuple(name for name, tool in known.items() if tool.permission is Permission.READ)
        if unknown := [name for name in names if name not in known]:
            text = f"a subagent cannot have {', '.join(unknown)[:120]}"
            raise ToolRetry(text, next_step=f"tools: {', '.join(known)}")
        return tuple(dict.fromkeys(names))

    def list(self, person_id: str) -> tuple[Subagent, ...]:
        """All of them for an owner, else the person's own; the latest last."""
        return tuple(one for one in self._known.values() if self._is_of(one, person_id))

    def cancel(self, subagent_id: str, person_id: str) -> None:
        """Stop it at the next safe point; a running tool call is finished. Raises UnknownName, PermissionRefused."""
        self.named(subagent_id, person_id).turn.stop()

    def named(self, subagent_id: str, person_id: str) -> Subagent:
        """The one with this id, for who may cancel it. Raises UnknownName, PermissionRefused."""
        found = self._known.get(subagent_id)
        if found is None:
            raise UnknownName(f"there is no subagent {subagent_id[:40]!r}", next_step="microclaw task subagents")
        if not self._is_of(found, person_id):
            raise PermissionRefused(f"subagent {subagent_id} is somebody else's", next_step="ask the owner")
        return found

    def _is_of(self, subagent: Subagent, person_id: str) -> bool:
        person = self._roles.get(person_id)
        return subagent.inbound.person_id == person_id or (person is not None and person.role == "owner")

    async def _work(self, subagent: Subagent) -> None:
        to = subagent.inbound
        try:
            answer = await subagent.turn.run(lambda _event: None)  # nobody follows it
            subagent.state, subagent.result = _STATES.get(answer.error_code, "failed"), answer.text
            subagent.foreign = subagent.foreign or answer.tainted_s is not None
        except asyncio.CancelledError:
            subagent.state, subagent.result = "cancelled", "the host ended; what had begun may have been done"
            raise
        except MicroclawError as exc:
            subagent.state, subagent.result = "failed", exc.message
        except Exception:
            _log.exception("subagent %s failed inside the host", subagent.subagent_id)
            subagent.state, subagent.result = "failed", "something went wrong inside the host; see its log"
        text = f"subagent {subagent.subagent_id} ({to.text[:80]}) {subagent.state}: {subagent.result}"
        try:
            await self._outbox.push(to.channel, to.chat_id, text[:_MAX_PUSH_CHARS], person=to.person_id)
        except MicroclawError as exc:
            _log.warning("the result of subagent %s could not be sent: %s", subagent.subagent_id, exc.message)
