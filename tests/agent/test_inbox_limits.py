"""Room among the unanswered: a person's share, everybody's limit, and that both are given back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.agent.conftest import Agent, Held, MakeAgent

from microclaw.agent.inbox import InboxLimits
from microclaw.agent.running_turn import AcceptedMessage
from microclaw.errors import Overloaded
from microclaw.events import Answer, Inbound
from microclaw.models.scripted import say

TWO_EACH = InboxLimits(unanswered=8)


async def accept(agent: Agent, person: str, chat_id: str, key: str | None = None) -> AcceptedMessage:
    return await agent.inbox.accept(Inbound("test", chat_id, "hi", person, key=key))


async def ended(taken: Sequence[AcceptedMessage]) -> None:
    async with asyncio.timeout(60):
        for accepted in taken:
            events = [event async for event in accepted.events]
            assert isinstance(events[-1], Answer)


@pytest.mark.parametrize(("unanswered", "each", "people"), [(8, 2, 4), (2, 1, 2)])
async def test_a_person_has_a_quarter_of_the_room_in_all_chats_together_and_at_least_one_place(
    make_agent: MakeAgent, unanswered: int, each: int, people: int
) -> None:
    async with make_agent(model=Held(), inbox_limits=InboxLimits(unanswered=unanswered)) as agent:
        for number in range(people):
            for chat in range(each):
                await accept(agent, f"p{number}", f"c{number}-{chat}")
            with pytest.raises(Overloaded):
                await accept(agent, f"p{number}", "another")
        with pytest.raises(Overloaded):  # the room for all
            await accept(agent, "p9", "c9")


async def test_messages_that_arrive_at_the_same_time_do_not_share_one_place(make_agent: MakeAgent) -> None:
    async with make_agent(model=Held(), inbox_limits=TWO_EACH) as agent:
        came = await asyncio.gather(*(accept(agent, "ann", f"c{n}") for n in range(6)), return_exceptions=True)
        assert sum(isinstance(one, AcceptedMessage) for one in came) == 2
        assert sum(isinstance(one, Overloaded) for one in came) == 4


async def test_answers_make_room_again(make_agent: MakeAgent) -> None:
    model = Held([say("done")] * 6)
    async with make_agent(model=model, inbox_limits=TWO_EACH) as agent:
        for _ in range(3):
            taken = [await accept(agent, "ann", "c1") for _ in range(2)]
            with pytest.raises(Overloaded):
                await accept(agent, "ann", "c2")
            for _ in taken:
                model.go.release()
            await ended(taken)


async def test_what_the_last_run_left_counts_for_its_person(make_agent: MakeAgent) -> None:
    async with make_agent(model=Held(), inbox_limits=TWO_EACH) as agent:
        for chat_id in ("c1", "c2"):
            await accept(agent, "ann", chat_id)
    async with make_agent(model=Held(), inbox_limits=TWO_EACH) as agent:
        with pytest.raises(Overloaded):
            await accept(agent, "ann", "c3")
        await accept(agent, "bob", "c3")


async def test_what_devices_ask_for_does_not_keep_their_owner_out(make_agent: MakeAgent) -> None:
    async with make_agent(model=Held(), inbox_limits=TWO_EACH) as agent:
        for name in ("desk", "shelf"):
            await agent.inbox.accept(Inbound("device", name, "hi", device=name, origin="device"))
        with pytest.raises(Overloaded):
            await agent.inbox.accept(Inbound("device", "lamp", "hi", device="lamp", origin="device"))
        await accept(agent, "owner", "c1")
