"""Acts that follow a stranger's words are asked for; a question survives neither a cancel nor a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Literal

import pytest
from tests.agent.conftest import Agent, MakeAgent

from microclaw.agent.running_turn import AcceptedMessage
from microclaw.agent.turn import TurnLimits
from microclaw.auth.approvals import ApprovalOutcome, PendingApproval
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Inbound, TurnEvent
from microclaw.models.scripted import call, say


async def until_asked(accepted: AcceptedMessage) -> ApprovalAsked:
    async with asyncio.timeout(60):
        async for event in accepted.events:
            if isinstance(event, ApprovalAsked):
                return event
    raise AssertionError("nothing was asked")


async def rest(accepted: AcceptedMessage) -> list[TurnEvent]:
    async with asyncio.timeout(60):
        return [event async for event in accepted.events]


async def begin(agent: Agent) -> AcceptedMessage:
    return await agent.inbox.accept(Inbound("test", "c1", "what does the page say"))


async def seen(agent: Agent, when_asked: Callable[[ApprovalAsked], object]) -> tuple[list[TurnEvent], Answer]:
    """The events of a turn, and the last of them."""
    accepted = await begin(agent)
    events: list[TurnEvent] = []
    async with asyncio.timeout(60):
        async for event in accepted.events:
            events.append(event)
            if isinstance(event, ApprovalAsked):
                assert agent.workshop.done == []
                when_asked(event)
    last = events[-1]
    assert isinstance(last, Answer)
    return events, last


@pytest.mark.parametrize(("yes", "outcome"), [(True, "approved"), (False, "declined")])
async def test_an_act_after_a_page_was_read_waits_for_a_yes(
    make_agent: MakeAgent, yes: bool, outcome: Literal["approved", "declined"]
) -> None:
    async with make_agent([call("page"), call("undo"), say("done")]) as agent:
        decide = agent.approvals.decide
        events, last = await seen(agent, lambda asked: decide(asked.approval_id, approved=yes, by="owner"))
        (asked,) = (event for event in events if isinstance(event, ApprovalAsked))
        assert ApprovalSettled(asked.approval_id, outcome, "owner") in events
        assert agent.workshop.done == (["undo"] if yes else [])
        assert (last.text == "done\n\nWhat the host did:\n- done: undo\n- read: page") is yes
        assert ("permission_refused" in str(agent.script.requests[2].messages[-1])) is not yes
        assert await agent.journal.unfinished() == ()


async def test_an_act_before_any_foreign_words_and_one_in_another_chat_need_no_yes(make_agent: MakeAgent) -> None:
    """The next turn of the same chat needs one: tests/agent/test_taint.py."""
    async with make_agent([call("undo"), call("page"), say("it says so"), call("undo"), say("done")]) as agent:
        assert not any(isinstance(event, ApprovalAsked) for event in await rest(await begin(agent)))
        await agent.answer("undo", chat_id="c2")
        assert agent.workshop.done == ["undo", "undo"]


async def test_time_a_person_takes_to_decide_is_not_the_turns(make_agent: MakeAgent) -> None:
    async with make_agent([call("page"), call("undo"), say("done")], limits=TurnLimits(turn_s=0.3)) as agent:

        def later(asked: ApprovalAsked) -> None:
            decide = partial(agent.approvals.decide, asked.approval_id, approved=True, by="owner")
            asyncio.get_running_loop().call_later(0.4, decide)

        _, last = await seen(agent, later)
        assert last.text.startswith("done\n\nWhat the host did:\n- done: ")


async def test_cancel_takes_a_question_back(make_agent: MakeAgent) -> None:
    async with make_agent([call("page"), call("undo"), say("never")]) as agent:
        _, last = await seen(agent, lambda _: agent.inbox.cancel("test", "c1"))
        assert last.error_code == "cancelled"
        assert (agent.approvals.pending(), agent.workshop.done) == ((), [])


async def test_an_act_that_waits_for_its_yes_has_not_started_when_the_host_ends(make_agent: MakeAgent) -> None:
    async with make_agent([call("page"), call("undo")]) as agent:
        await until_asked(await begin(agent))
        assert await agent.journal.unfinished() == ()
    async with make_agent([say("done")]) as agent:
        asked: asyncio.Queue[PendingApproval | ApprovalOutcome] = asyncio.Queue()
        agent.approvals.listen(asked.put_nowait)
        await agent.conversations.recover()
        async with asyncio.timeout(60):
            pending = await asked.get()
            assert isinstance(pending, PendingApproval)
            agent.approvals.decide(pending.approval_id, approved=True, by="owner")
            outbound = await anext(agent.outbox.outgoing("test"))
        assert outbound.text.startswith("done\n\nWhat the host did:\n- done: undo")
        assert agent.workshop.done == ["undo"]
