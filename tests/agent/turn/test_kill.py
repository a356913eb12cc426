"""A kill in the middle of a turn: the message is answered once, what was done is not done again.

A kill leaves the store's files as they are: the next host opens a copy of them. tests/stories/test_killed_hosts.py and
tests/host/store/test_kill.py send SIGKILL.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.agent.turn.conftest import NoContext, NoParameters
from tests.stores import new_store

from microclaw.agent.models.protocol import ModelReply, ModelRequest, OnText, ToolReturn
from microclaw.agent.models.scripted import ScriptedModel, call, say
from microclaw.agent.turn.conversation import Conversations
from microclaw.agent.turn.inbox import Inbox
from microclaw.agent.turn.outbox import Outbox
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.events import Answer, Evidence, Inbound
from microclaw.host.auth.gate import Gate
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Tool, ToolContext, ToolOutput
from microclaw.host.store.database import Database
from microclaw.host.store.inbox import InboxTable
from microclaw.host.store.journal import Journal, Work
from microclaw.host.store.outbox import OutboxRow, OutboxTable
from microclaw.host.store.sessions import Sessions

UNKNOWN = "outcome_unknown"
SIGNED = "[signed]"
BY_RULE = "by rule"  # of an idempotent act
DO_IT = Inbound("test", "c1", "do it", key="k1")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(eq=False)
class Host(ScriptedModel):
    """A host whose model calls `act` first, then says that it is done. It stops at `point`."""

    folder: Path
    effect: str
    point: str | None = None
    acted: int = 0
    asked: int = 0
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def at(self, point: str) -> None:
        if self.point == point:
            self.stopped.set()
            await self.go_on.wait()

    async def act(self, _: NoParameters, __: ToolContext) -> ToolOutput:
        await self.at("tool begun")
        self.acted += 1
        await self.at("tool acted")
        return ToolOutput({"success": True}, (Evidence("counted", "the world says so"),))

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """It knows nothing but the request."""
        self.asked += 1
        returned = [m for m in request.messages if isinstance(m, ToolReturn)]
        await self.at(f"model {len(returned) + 1}")
        if "again" in str(request.messages[-1]):
            return say(f"heard again after {len(request.messages) - 1}")
        if not returned:
            return replace(call("act"), literal=self.effect == BY_RULE, provider_parts=SIGNED)
        return say("it is done" if SIGNED in str(request.messages) else "what the provider gave is lost")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Conversations]:
        if self.effect == BY_RULE:
            effect = Effect.IDEMPOTENT
        else:
            effect = Effect(self.effect)
        tool = Tool("act", "Act.", NoParameters, Permission.ACT, effect, self.act)
        async with Database.open(new_store(self.folder / "microclaw.db")) as database, asyncio.timeout(60):
            agent = Conversations(
                inbox=Inbox(Messages(database, self), Outbox(OutboxTable(database, now_ms))),
                model=self,
                tools=Toolbox((tool,), Gate()),
                context=NoContext(),
                sessions=Sessions(database, now_ms),
                journal=Journal(database, now_ms),
            )
            async with agent.answering():
                yield agent

    async def killed(self, left: Path, *, resumes: bool = False) -> int:
        """Run to the point and copy the store as it is then; how often it had acted."""
        async with self.running() as agent:
            if resumes:
                await agent.recover()
            else:
                await agent.inbox.accept(DO_IT)
            await self.stopped.wait()
            shutil.copytree(self.folder, left)
            acted = self.acted
            self.go_on.set()
        return acted


class Messages(InboxTable):
    def __init__(self, database: Database, host: Host) -> None:
        super().__init__(database, now_ms)
        self._at = host.at

    async def answer(self, message_id: int, outbound: OutboxRow, keeping: Sequence[Work] = ()) -> int:
        await self._at("keeping the answer")
        number = await super().answer(message_id, outbound, keeping)
        await self._at("answer kept")
        return number


@pytest.mark.parametrize(
    ("effect", "point", "acted", "error", "asked"),
    [
        ("once", "model 1", 1, None, 2),
        ("once", "tool begun", 0, UNKNOWN, 0),
        ("once", "tool acted", 1, UNKNOWN, 0),
        ("once", "model 2", 1, None, 1),
        ("once", "keeping the answer", 1, None, 1),
        ("once", "answer kept", 1, None, 0),
        ("idempotent", "tool begun", 1, None, 1),
        ("idempotent", "tool acted", 2, None, 1),
        ("read", "tool acted", 2, None, 2),
        (BY_RULE, "tool acted", 2, None, 2),
        (BY_RULE, "model 2", 2, None, 2),
        (BY_RULE, "answer kept", 1, None, 0),
    ],
)
async def test_a_message_is_answered_once_wherever_the_host_is_killed(
    tmp_path: Path, effect: str, point: str, acted: int, error: str | None, asked: int
) -> None:
    acted_before = await Host(tmp_path / "one", effect, point).killed(tmp_path / "two")
    host = Host(tmp_path / "two", effect)
    async with host.running() as agent:
        assert await agent.recover() == ()
        assert (await agent.inbox.accept(DO_IT)).duplicate
        outbox = agent.inbox.outbox
        outbound = await anext(outbox.outgoing("test"))
        assert host.asked == asked, "what the model has said is not asked again"
        await outbox.note_delivered(outbound.outbound_id)
        events = [event async for event in (await agent.inbox.accept(Inbound("test", "c1", "again"))).events]
        assert await outbox.undelivered("test", "c1") == ()
    assert (acted_before + host.acted, outbound.answer.error_code, outbound.key) == (acted, error, "k1")
    if error is None:
        outcome = "read" if effect == "read" else "done"
        record = f"\n\nWhat the host did:\n- {outcome}: act (counted: the world says so)"
        assert outbound.answer.text == "it is done" + record
        assert [e.text for e in outbound.answer.evidence] == ["the world says so"]
    assert isinstance(events[-1], Answer)
    assert events[-1].text.startswith("heard again after 2"), "the chat has the message and its answer once"


async def test_a_message_that_ends_the_host_each_time_is_given_up(tmp_path: Path) -> None:
    for number in range(3):
        host = Host(tmp_path / str(number), "once", "model 1")
        assert await host.killed(tmp_path / str(number + 1), resumes=number > 0) == 0
    host = Host(tmp_path / "3", "once")
    async with host.running() as agent:
        await agent.recover()
        assert (await anext(agent.inbox.outbox.outgoing("test"))).answer.error_code == "interrupted"
    assert host.acted == 0
