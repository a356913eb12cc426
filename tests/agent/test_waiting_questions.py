"""A no or another sentence withdraws the question of a chat; only a yes that names it approves it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.agent.conftest import Agent, MakeAgent
from tests.agent.test_asking import begin, rest, until_asked

from microclaw.agent.acts import own_words
from microclaw.agent.waiting_questions import answer_at_once
from microclaw.auth.approvals import Approvals, PendingApproval
from microclaw.events import NOTHING_WAITS, Answer, ApprovalAsked, ApprovalSettled, Inbound
from microclaw.models.scripted import call, say

SCRIPT = [call("page"), call("undo"), say("done")]


async def hear(agent: Agent, text: str, chat_id: str = "c1", person_id: str = "owner") -> Answer:
    answer = await (await agent.inbox.accept(Inbound("test", chat_id, text, person_id))).answer()
    assert answer is not None
    return answer


@pytest.mark.parametrize("said", ["Yes, do it", "yes deadbeef", "no deadbeef"])
async def test_a_yes_without_the_questions_number_is_answered_with_it_and_decides_nothing(
    make_agent: MakeAgent, said: str
) -> None:
    async with make_agent(SCRIPT) as agent:
        accepted = await begin(agent)
        asked = await until_asked(accepted)
        answer = await hear(agent, said)
        assert answer.error_code == "question_waits"
        assert asked.text in answer.text
        assert f"yes {asked.approval_id}" in (answer.next_step or "")
        assert agent.workshop.done == []
        assert len(agent.approvals.pending()) == 1
        agent.approvals.decide(asked.approval_id, approved=False, by="owner")
        await rest(accepted)


async def test_a_yes_that_names_the_question_approves_it(make_agent: MakeAgent) -> None:
    async with make_agent(SCRIPT) as agent:
        accepted = await begin(agent)
        asked = await until_asked(accepted)
        await hear(agent, f"Yes {asked.approval_id}.")
        await rest(accepted)
        assert agent.workshop.done == ["undo"]


@pytest.mark.parametrize(("said", "outcome"), [("no", "declined"), ("nope", "declined"), ("is it on", "withdrawn")])
async def test_a_plain_no_declines_it_and_another_sentence_withdraws_it(
    make_agent: MakeAgent, said: str, outcome: str
) -> None:
    async with make_agent([*SCRIPT[:2], say("then not"), say("it is off")]) as agent:
        heard: list[Any] = []
        agent.approvals.listen(heard.append)
        accepted = await begin(agent)
        await until_asked(accepted)
        await hear(agent, said)
        await rest(accepted)
        assert agent.workshop.done == []
        assert (heard[-1].outcome, heard[-1].by) == (outcome, "owner")


async def test_another_chat_is_not_held_up_and_decides_nothing(make_agent: MakeAgent) -> None:
    async with make_agent([*SCRIPT[:2], say("hello"), say("done")]) as agent:
        accepted = await begin(agent)
        asked = await until_asked(accepted)
        assert own_words((await hear(agent, "hi there", "c2")).text) == "hello"
        told = await hear(agent, f"yes {asked.approval_id}", "c2")
        assert told.error_code == NOTHING_WAITS
        gone = await hear(agent, "yes deadbeef", "c2", person_id="bob")
        assert gone.error_code == NOTHING_WAITS
        assert agent.workshop.done == []
        agent.approvals.decide(asked.approval_id, approved=False, by="owner")
        await rest(accepted)


async def test_who_may_not_decide_is_told_so(make_agent: MakeAgent) -> None:
    async with make_agent(SCRIPT) as agent:
        accepted = await begin(agent)
        asked = await until_asked(accepted)
        answer = await hear(agent, f"yes {asked.approval_id}", person_id="stranger")
        assert answer.error_code == "permission_refused"
        assert agent.workshop.done == []
        agent.approvals.decide(asked.approval_id, approved=False, by="owner")
        await rest(accepted)


async def test_a_schedules_question_is_not_the_running_turns_and_only_its_number_decides_it(
    make_agent: MakeAgent,
) -> None:
    """A schedule that is due asks in the chat in which its person speaks: who listens there did not ask for it."""
    async with make_agent(SCRIPT) as agent:
        accepted = await begin(agent)
        own = await until_asked(accepted)
        is_asked = asyncio.Event()
        leave = agent.approvals.listen(lambda _: is_asked.set())
        ask = agent.approvals.ask("owner", "turn on pin 4", (), channel="test", chat_id="c1")
        schedules_call = asyncio.create_task(ask)
        async with asyncio.timeout(60):
            await is_asked.wait()
        leave()
        agent.approvals.decide(own.approval_id, approved=False, by="owner")
        heard = [event for event in await rest(accepted) if isinstance(event, ApprovalAsked | ApprovalSettled)]
        assert [event.approval_id for event in heard] == [own.approval_id]
        (waiting,) = agent.approvals.pending()
        for said in ("yes", "no", f"yes {own.approval_id}"):
            answer = await hear(agent, said)
            assert answer.error_code == "question_waits"
        assert agent.approvals.pending() == (waiting,)
        await hear(agent, f"yes {waiting.approval_id}")
        await schedules_call


def test_what_is_too_long_to_be_shown_is_not_approved_by_a_sentence() -> None:
    class OneWaits(Approvals):
        def pending(self) -> tuple[PendingApproval, ...]:
            return (PendingApproval("abcd1234", "owner", "deploy it", ("x" * 20_000,), "test", "c1", 60),)

    answer = answer_at_once(OneWaits(timeout_s=60), Inbound("test", "c1", "yes abcd1234"))
    assert answer is not None
    assert answer.next_step
