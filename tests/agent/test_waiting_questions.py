"""A sentence behind a question of its chat is answered at once; only a yes that names the question decides it."""

from __future__ import annotations

import pytest
from tests.agent.conftest import Agent, MakeAgent
from tests.agent.test_asking import begin, rest, until_asked

from microclaw.agent.waiting_questions import WaitingQuestions
from microclaw.auth.approvals import Approvals, PendingApproval
from microclaw.events import Answer, Inbound
from microclaw.models.scripted import call, say

SCRIPT = [call("page"), call("undo"), say("done")]


async def hear(agent: Agent, text: str, chat_id: str = "c1", person_id: str = "owner") -> Answer:
    answer = await (await agent.inbox.accept(Inbound("test", chat_id, text, person_id))).answer()
    assert answer is not None
    return answer


@pytest.mark.parametrize("said", ["is it on", "yes", "y", "Yes, do it", "no", "yes deadbeef"])
async def test_a_later_sentence_is_answered_with_the_question_and_decides_nothing(
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
        answer = await hear(agent, f"Yes {asked.approval_id}.")
        assert answer.text == f"Approved: {asked.text}."
        await rest(accepted)
        assert agent.workshop.done == ["undo"]


async def test_a_no_that_names_the_question_declines_it(make_agent: MakeAgent) -> None:
    async with make_agent(SCRIPT) as agent:
        accepted = await begin(agent)
        asked = await until_asked(accepted)
        assert (await hear(agent, f"no {asked.approval_id}")).text.startswith("Declined: ")
        await rest(accepted)
        assert agent.workshop.done == []


async def test_another_chat_is_not_held_up_and_decides_nothing(make_agent: MakeAgent) -> None:
    async with make_agent([*SCRIPT[:2], say("hello"), say("done")]) as agent:
        accepted = await begin(agent)
        asked = await until_asked(accepted)
        assert (await hear(agent, f"yes {asked.approval_id}", "c2")).text == "hello"
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


def test_what_is_too_long_to_be_shown_is_not_approved_by_a_sentence() -> None:
    class OneWaits(Approvals):
        def pending(self) -> tuple[PendingApproval, ...]:
            return (PendingApproval("abcd1234", "owner", "deploy it", ("x" * 20_000,), "test", "c1", 60),)

    answer = WaitingQuestions(OneWaits(timeout_s=60)).answer(Inbound("test", "c1", "yes abcd1234"))
    assert answer is not None
    assert "too long to be shown here" in answer.text
    assert answer.next_step == "microclaw approval list, or: no abcd1234"
