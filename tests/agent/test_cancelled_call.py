"""A turn that is cancelled while a call runs: what has changed nothing yet ends at once, what has begun is finished."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from tests.agent.conftest import MakeAgent, NoParameters, Workshop

from microclaw.agent.acts import own_words
from microclaw.agent.toolbox import Toolbox
from microclaw.auth.approvals import Approvals
from microclaw.auth.gate import Effect, Permission
from microclaw.events import Inbound, ToolRun
from microclaw.models.scripted import call, say
from microclaw.operations.tool import Tool, ToolContext, ToolOutput


@dataclass
class Builds(Workshop):
    """`build` compiles forever and then would ask, `look` reads forever, `late` changes something, then waits."""

    running: asyncio.Event = field(default_factory=asyncio.Event)

    def toolbox(self, approvals: Approvals | None = None) -> Toolbox:
        act, once = Permission.ACT, Effect.ONCE
        return (
            super()
            .toolbox(approvals)
            .with_more(
                (
                    Tool("build", "Compile.", NoParameters, act, once, self._build, has_preview=True),
                    Tool("look", "Look.", NoParameters, Permission.READ, Effect.READ, self._look),
                    Tool("late", "Begin and wait.", NoParameters, act, once, self._late, has_preview=True),
                )
            )
        )

    async def _for_ever(self) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.done.append("killed")

    async def _build(self, _: NoParameters, context: ToolContext) -> ToolOutput:
        await self._for_ever()
        await context.approve("install it", ())
        raise AssertionError

    async def _look(self, _: NoParameters, __: ToolContext) -> ToolOutput:
        await self._for_ever()
        raise AssertionError

    async def _late(self, _: NoParameters, context: ToolContext) -> ToolOutput:
        await context.approve("install it", ())
        self.running.set()
        await asyncio.sleep(0.05)
        self.done.append("installed")
        return ToolOutput({"success": True})


@pytest.mark.parametrize(("tool", "done"), [("build", ["killed"]), ("look", ["killed"]), ("late", ["installed"])])
async def test_a_cancelled_call_ends_before_its_effect_or_after_it(
    make_agent: MakeAgent, tool: str, done: list[str]
) -> None:
    workshop = Builds()
    async with make_agent([call(tool), say("hello")], workshop=workshop) as agent:
        async with aclosing(agent.conversations.chat(Inbound("test", "c1", "go"))) as events:
            assert await anext(events) == ToolRun(tool, "started")
            await asyncio.wait_for(workshop.running.wait(), 5)
        assert own_words((await agent.answer("second")).text) == "hello"
        assert workshop.done == done
        assert await agent.journal.unfinished() == ()
        kept = str(await agent.sessions.load("test", "c1"))
    assert "nothing more is started" in kept
    assert ("done: late" in kept) == (tool == "late")
    assert ("refused: build (cancelled: it had changed nothing yet)" in kept) == (tool == "build")
