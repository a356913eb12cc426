"""Subagents: few at a time, their own tools, bounded, cancellable, and no freer than who started them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import pytest
from tests.agent.turn.conftest import Agent, Held, MakeAgent, NoContext, Workshop

from microclaw.agent.models.protocol import ModelReply
from microclaw.agent.models.scripted import Scripted, ScriptedModel, call, say
from microclaw.agent.turn.background.operations import start_tool
from microclaw.agent.turn.background.results import Subagent, SubagentList
from microclaw.agent.turn.background.subagents import SubagentLimits, Subagents
from microclaw.errors import Overloaded, PermissionRefused, ToolRetry, UnknownName
from microclaw.events import Usage
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import ApprovalOutcome, PendingApproval
from microclaw.host.auth.people import OWNER
from microclaw.host.operations.tool import ToolContext
from microclaw.host.store.people import Person
from microclaw.programs.changes.change_log import ChangeOrigin, change_origin


class People:
    def get(self, person_id: str) -> Person | None:
        return {"owner": OWNER, "p-ada": Person("p-ada", "ada", "member")}.get(person_id)


@dataclass
class Crew:
    subagents: Subagents
    model: ScriptedModel
    workshop: Workshop
    agent: Agent
    approvals: Approvals

    async def start(
        self, task: str = "look", names: list[str] | None = None, *, who: str = "owner", foreign: bool = False
    ) -> Subagent:
        context = ToolContext(who, lambda _: None, None, "test", "c1", foreign=foreign)
        return await self.subagents.start(task, names, context)

    async def ended(self, one: Subagent) -> Subagent:
        name = f"subagent {one.subagent}"
        for task in asyncio.all_tasks():
            if task.get_name() == name:
                await asyncio.wait((task,), timeout=60)
        return one

    async def pushed(self) -> list[str]:
        """The texts that wait for the chat, once there is one."""
        async with asyncio.timeout(60):
            while not (found := await self.agent.outbox.undelivered("test", "c1")):
                pass
        return [one.answer.text for one in found]


MakeCrew: TypeAlias = Callable[..., AbstractAsyncContextManager[Crew]]


@pytest.fixture
def crew_of(make_agent: MakeAgent) -> MakeCrew:
    @asynccontextmanager
    async def make(
        replies: Iterable[Scripted] = (), *, model: ScriptedModel | None = None, limits: SubagentLimits | None = None
    ) -> AsyncIterator[Crew]:
        used = model or ScriptedModel(replies)
        shop = Workshop()
        approvals = Approvals(timeout_s=60)
        async with make_agent() as agent:
            subagents = Subagents(
                model=used,
                tools=shop.toolbox(approvals),
                context=NoContext(),
                journal=agent.journal,
                outbox=agent.outbox,
                roles=People(),
                limits=limits or SubagentLimits(),
                now_s=lambda: 1_700_000_000,
            )
            async with subagents.working():
                yield Crew(subagents, used, shop, agent, approvals)

    return make


async def test_it_works_with_its_own_prompt_and_its_result_comes_into_the_chat(crew_of: MakeCrew) -> None:
    async with crew_of([call("gpio-get", pin=4), say("Pin 4 is high.")]) as crew:
        one = await crew.ended(await crew.start("what is pin 4"))
        assert (one.state, str(one.result).splitlines()[0]) == ("done", "Pin 4 is high.")
        first = crew.model.requests[0]
        assert (first.task, len(first.messages)) == ("subagent", 1)
        assert "what is pin 4" in str(first.messages[0])
        (text,) = await crew.pushed()
        assert text.startswith(f"subagent {one.subagent} (what is pin 4) done: Pin 4 is high.")


async def test_it_has_the_tools_that_are_named_and_its_changes_are_its_parents_turn_or_its_own(
    crew_of: MakeCrew,
) -> None:
    async with crew_of([call("gpio-set", pin=4), say("done"), call("gpio-set", pin=5), say("done")]) as crew:
        with change_origin(ChangeOrigin("m7")):
            one = await crew.start(names=["gpio-set"])
        await crew.ended(one)
        alone = await crew.ended(await crew.start(names=["gpio-set"]))
        assert crew.workshop.turns == ["m7", f"subagent-{alone.began_ms}-{alone.subagent}"]
        with pytest.raises(ToolRetry):
            await crew.start(names=["subagent-start"])


async def test_only_so_many_work_at_a_time(crew_of: MakeCrew) -> None:
    model = Held([say("a"), say("b"), say("c")])
    async with crew_of(model=model, limits=SubagentLimits(count=2)) as crew:
        both = [await crew.start("1"), await crew.start("2")]
        with pytest.raises(Overloaded):
            await crew.start("3")
        for _ in range(3):
            model.go.release()
        for one in both:
            await crew.ended(one)
        await crew.ended(await crew.start("3"))


async def test_its_time_and_tokens_are_bounded(crew_of: MakeCrew) -> None:
    async with crew_of(model=Held([]), limits=SubagentLimits(turn_s=0.01)) as crew:
        assert (await crew.ended(await crew.start())).state == "failed"
    costly = [ModelReply("", call("gpio-get", pin=4).calls, usage=Usage(400, 200)) for _ in range(8)]
    async with crew_of(costly, limits=SubagentLimits(tokens=1000)) as crew:
        one = await crew.ended(await crew.start())
        assert (one.state, one.tokens) == ("failed", 1200)


async def test_each_sees_and_cancels_their_own_and_the_hosts_end_cuts_off_the_rest(crew_of: MakeCrew) -> None:
    model = Held([say("too late")])
    async with crew_of(model=model) as crew:
        mine = await crew.start("mine")
        hers = await crew.start("hers", who="p-ada")
        assert crew.subagents.of_person("p-ada") == [hers]
        assert crew.subagents.of_person("owner") == [mine, hers]
        with pytest.raises(PermissionRefused):
            crew.subagents.cancel(mine.subagent, "p-ada")
        with pytest.raises(UnknownName):
            crew.subagents.cancel("nobody", "owner")
        for _ in range(2):
            await model.asked.acquire()
        crew.subagents.cancel(mine.subagent, "owner")
        assert (await crew.ended(mine)).state == "cancelled"
        assert "cancelled" in (await crew.pushed())[0]
    assert (hers.state, model.requests) == ("cancelled", [])


async def test_words_of_strangers_that_its_parent_read_make_it_ask(crew_of: MakeCrew) -> None:
    async with crew_of([call("gpio-set", pin=4), say("No.")]) as crew:
        asked: list[PendingApproval] = []

        def decline(news: PendingApproval | ApprovalOutcome) -> None:
            if isinstance(news, PendingApproval):
                asked.append(news)
                no = partial(crew.approvals.decide, news.approval_id, approved=False, by="owner")
                asyncio.get_running_loop().call_soon(no)

        crew.approvals.listen(decline)
        one = await crew.ended(await crew.start(names=["gpio-set"], foreign=True))
        assert [(p.channel, p.chat_id, p.person_id) for p in asked] == [("test", "c1", "owner")]
        assert crew.workshop.done == []
        assert one.foreign


async def test_the_list_says_that_a_result_may_hold_words_of_strangers(crew_of: MakeCrew) -> None:
    async with crew_of([call("page"), say("The page says so.")]) as crew:
        tools = crew.workshop.toolbox().with_more((start_tool(crew.subagents),))
        context = ToolContext("owner", lambda _: None, None, "test", "c1")
        assert (await tools.call("subagent-start", '{"task": "read it"}', context)).ok
        (one,) = crew.subagents.of_person("owner")
        await crew.ended(one)
        listed = SubagentList(subagents=[one])
        assert listed.is_foreign
        assert "The page says so." in str(listed.subagents[0].result)
