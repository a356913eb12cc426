"""A schedule's words become one turn in the chat it was made in; its answer is sent there."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.agent.conftest import Agent, MakeAgent

from microclaw.agent.background.unattended import ScheduledWork
from microclaw.agent.toolbox import Toolbox
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval
from microclaw.auth.gate import Gate, Permission
from microclaw.events import Usage
from microclaw.models.protocol import ModelReply
from microclaw.models.scripted import call
from microclaw.store.schedules import Deed, Once, Prompt, Schedule, ToolAct

DUE = 1_700_000_100_000


def schedule(deed: Deed) -> Schedule:
    return Schedule(
        "in 20 minutes", "it", Once(DUE), deed, "owner", "test", "c9", None, "run", Permission.ACT, None, schedule_id=7
    )


def hands(agent: Agent) -> ScheduledWork:
    return ScheduledWork(inbox=agent.inbox, tools=agent.workshop.toolbox(), gate=Gate())


async def started() -> None: ...


async def test_words_are_a_turn_in_the_chat_and_the_answer_is_sent_there(make_agent: MakeAgent) -> None:
    replies = [call("gpio-set", pin=4), ModelReply("Pin 4 is on.", usage=Usage(10, 5, 0.0))]
    async with make_agent(replies) as agent:
        outcome = await hands(agent).run(schedule(Prompt("turn on the light")), DUE, started, "")
        assert (outcome.state, outcome.text.splitlines()[0]) == ("done", "Pin 4 is on.")
        assert (outcome.woke, outcome.told) == (True, True)
        assert agent.workshop.done == ["set 4 1"]
        (waiting,) = await agent.outbox.undelivered("test", "c9")
        assert waiting.text.startswith("Pin 4 is on.")
        assert waiting.answer.evidence


async def test_the_same_run_is_one_turn_however_often_it_is_begun(make_agent: MakeAgent) -> None:
    async with make_agent([ModelReply("once")]) as agent:
        await hands(agent).run(schedule(Prompt("say it")), DUE, started, "")
        again = await hands(agent).run(schedule(Prompt("say it")), DUE, started, "")
        assert again.told
        assert len(agent.script.requests) == 1
        assert len(await agent.outbox.undelivered("test", "c9")) == 1


async def test_a_call_starts_right_before_it_changes_something(make_agent: MakeAgent) -> None:
    async with make_agent() as agent:
        begun = asyncio.Event()

        async def note() -> None:
            assert agent.workshop.done == []
            begun.set()

        outcome = await hands(agent).run(schedule(ToolAct("gpio-set", '{"pin": 4}')), DUE, note, "")
        assert begun.is_set()
        assert (outcome.state, outcome.text, outcome.told) == ("done", "pin 4 is at 1", False)
        assert agent.script.requests == []


async def test_making_a_scheduled_call_was_the_yes_also_after_approvals_became_always(make_agent: MakeAgent) -> None:
    approvals = Approvals(timeout_s=60)
    asked: list[str] = []

    def decline(news: PendingApproval | ApprovalOutcome) -> None:
        if isinstance(news, PendingApproval):
            asked.append(news.action)
            number = news.approval_id
            asyncio.get_running_loop().call_soon(lambda: approvals.decide(number, approved=False, by="owner"))

    approvals.listen(decline)
    async with make_agent() as agent:
        tools = Toolbox(agent.workshop.toolbox().tools, Gate(approvals=approvals, always_ask=True))
        work = ScheduledWork(inbox=agent.inbox, tools=tools, gate=Gate())
        made = schedule(ToolAct("gpio-set", '{"pin": 4}'))
        assert (await work.run(made, DUE, started, "")).state == "done"
        assert asked == []
        assert (await work.run(replace(made, approved=Permission.READ), DUE, started, "")).state == "failed"
        assert len(asked) == 1  # it needs more than was shown


async def test_what_may_happen_twice_is_known_by_its_tool(make_agent: MakeAgent) -> None:
    async with make_agent() as agent:
        one = schedule(ToolAct("gpio-set", "{}"))
        assert hands(agent).may_repeat(one)
        assert not hands(agent).may_repeat(replace(one, deed=ToolAct("undo", "{}")))
        assert hands(agent).may_repeat(replace(one, deed=Prompt("undo")))
