"""Every accepted message is answered and delivered: order, room, listeners that leave, cancels, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing, suppress
from typing import Any

import pytest
from msgspec.structs import replace
from tests.agent.turn.conftest import Agent, Held, MakeAgent, Workshop

from microclaw.agent.models.protocol import ImageInput, UserText
from microclaw.agent.models.scripted import call, say
from microclaw.agent.turn.action_record import without_empty_record
from microclaw.agent.turn.outbox import AcceptedMessage, Outbox, RunningTurn
from microclaw.errors import AlreadyAnswered, EmptyMessage, MessageTooLong, Overloaded
from microclaw.events import Answer, Attachment, Inbound, Step
from microclaw.host.config.settings import AgentSettings
from microclaw.host.store.database import Database
from microclaw.host.store.inbox import InboxMessage, prune
from microclaw.host.store.outbox import OutboxRow, OutboxTable

PICTURE = Attachment("image", "image/png", b"png", "led.png")
TWO_EACH = 8


def inbound(text: str = "hi", chat_id: str = "c1", person: str = "owner", *, key: str | None = None) -> Inbound:
    return Inbound("test", chat_id, text, person, key=key)


async def end(accepted: AcceptedMessage) -> Answer:
    async with asyncio.timeout(60):
        events = [event async for event in accepted.events]
    assert isinstance(events[-1], Answer)
    return events[-1]


async def next_out(agent: Agent) -> str:
    async with asyncio.timeout(60):
        outbound = await anext(agent.outbox.outgoing("test"))
    await agent.outbox.note_delivered(outbound.outbound_id)
    return without_empty_record(outbound.answer.text)


async def accepted(agent: Agent, messages: Iterable[Inbound], refused: Inbound | None = None) -> list[AcceptedMessage]:
    """Accept the messages; then there is no room for `refused`."""
    taken = [await agent.inbox.accept(one) for one in messages]
    if refused is not None:
        with pytest.raises(Overloaded) as told:
            await agent.inbox.accept(refused)
        assert told.value.next_step
    return taken


async def test_the_same_key_comes_in_once(make_agent: MakeAgent) -> None:
    async with make_agent([say("one")]) as agent:
        first = await agent.inbox.accept(inbound(key="7"))
        assert without_empty_record((await end(first)).text) == "one"
        again = await agent.inbox.accept(inbound(key="7"))
        assert again.duplicate
        assert again.message_id == first.message_id
        assert [event async for event in again.events] == []
        assert len(agent.script.requests) == 1


async def test_of_two_answers_to_one_question_that_come_at_once_the_first_counts(make_agent: MakeAgent) -> None:
    async with make_agent([say("Which board?"), say("done")]) as agent:
        question = await agent.inbox.accept(inbound("turn on pin 4"))
        await end(question)
        answers = [replace(inbound(text), answers=question.message_id) for text in ("kitchen", "shed")]
        results = await asyncio.gather(*map(agent.inbox.accept, answers), return_exceptions=True)
        (error,) = [result for result in results if isinstance(result, AlreadyAnswered)]
        (counts,) = [result for result in results if isinstance(result, AcceptedMessage)]
        await end(counts)
        said = [request.messages[-1] for request in agent.script.requests]
        (text,) = [text for text in ("kitchen", "shed") if UserText(text) in said]
        assert f'"{text}"' in error.message
        elsewhere = await agent.inbox.accept(replace(inbound("kitchen", "c2"), answers=question.message_id))
        assert not elsewhere.duplicate, "another chat has other questions"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (inbound(""), EmptyMessage),
        (inbound(" \n"), EmptyMessage),
        (inbound("x" * 10_000_000), MessageTooLong),
        (replace(inbound(), attachments=(replace(PICTURE, data=b"x" * (21 << 20)),)), MessageTooLong),
    ],
    ids=["empty", "blank", "long", "large picture"],
)  # fmt: skip
async def test_a_message_that_cannot_be_read_is_refused_before_it_is_stored(
    make_agent: MakeAgent, message: Inbound, error: type[Exception]
) -> None:
    async with make_agent() as agent:
        with pytest.raises(error):
            await agent.inbox.accept(message)
        assert await agent.table.unanswered() == ()


# Room.


async def test_no_word_of_a_full_chat_is_refused_and_those_that_wait_for_room_come_in_their_order(
    make_agent: MakeAgent,
) -> None:
    model = Held([say("done")] * 12)
    async with make_agent(model=model) as agent:
        await accepted(agent, (inbound(str(number), key=str(number)) for number in range(9)))
        late = [asyncio.create_task(agent.inbox.accept(inbound(text), when_full="wait")) for text in ("9", "10", "11")]
        assert (await agent.inbox.accept(inbound(key="3"))).duplicate
        assert not (await agent.inbox.accept(inbound(chat_id="c2"))).duplicate
        assert len(await agent.table.unanswered()) == 10
        assert not agent.inbox.has_room(inbound())
        await accepted(agent, (), inbound("it has no room, and does not wait"))
        for _ in range(13):
            model.go.release()
        for message in await asyncio.gather(*late):
            await end(message)
        texts = [request.messages[-1] for request in model.requests]
        assert [text for text in texts if text != UserText("hi")] == [UserText(str(number)) for number in range(12)]


async def test_who_waits_for_room_is_told_when_the_host_stops(make_agent: MakeAgent) -> None:
    async with make_agent(model=Held()) as agent:
        await accepted(agent, [inbound()] * 9)
        late = [asyncio.create_task(agent.inbox.accept(inbound(), when_full="wait")) for _ in range(3)]
        await asyncio.sleep(0)
        agent.inbox.close()
        async with asyncio.timeout(60):
            ends = await asyncio.gather(*late, return_exceptions=True)
        assert [type(end) for end in ends] == [Overloaded] * 3


@pytest.mark.parametrize(("unanswered", "each", "people"), [(8, 2, 4), (2, 1, 2)])
async def test_a_person_has_a_quarter_of_the_room_in_all_chats_together_and_at_least_one_place(
    make_agent: MakeAgent, unanswered: int, each: int, people: int
) -> None:
    async with make_agent(model=Held(), unanswered=unanswered) as agent:
        for person in map(str, range(people)):
            own = (inbound("hi", f"{person}-{chat}", person) for chat in range(each))
            await accepted(agent, own, inbound("hi", "another", person))
        await accepted(agent, (), inbound("hi", "c9", "p9"))  # the room for all
    async with make_agent(model=Held(), unanswered=TWO_EACH) as agent:  # what the last run left counts
        if each == 2:
            await accepted(agent, (), inbound("hi", "c3", "0"))


async def test_messages_that_arrive_at_the_same_time_do_not_share_one_place(make_agent: MakeAgent) -> None:
    async with make_agent(model=Held(), unanswered=TWO_EACH) as agent:
        accepting = (agent.inbox.accept(inbound("hi", f"c{n}", "ann")) for n in range(6))
        came = await asyncio.gather(*accepting, return_exceptions=True)
        assert sum(isinstance(one, AcceptedMessage) for one in came) == 2
        assert sum(isinstance(one, Overloaded) for one in came) == 4


async def test_answers_make_room_again(make_agent: MakeAgent) -> None:
    model = Held([say("done")] * 6)
    async with make_agent(model=model, unanswered=TWO_EACH) as agent:
        for _ in range(3):
            taken = await accepted(agent, [inbound(person="ann")] * 2, inbound("hi", "c2", "ann"))
            for one in taken:
                model.go.release()
                await end(one)


async def test_what_devices_ask_for_does_not_keep_their_owner_out(make_agent: MakeAgent) -> None:
    desk, shelf, lamp = (
        Inbound("device", name, "hi", device=name, origin="device") for name in ("desk", "shelf", "lamp")
    )
    async with make_agent(model=Held(), unanswered=TWO_EACH) as agent:
        await accepted(agent, (desk, shelf), lamp)
        await accepted(agent, [inbound()])


async def test_no_more_turns_run_at_once_than_the_settings_say_and_a_cancelled_one_is_never_begun(
    make_agent: MakeAgent,
) -> None:
    model = Held([say("a"), say("b")])
    async with make_agent(model=model, settings=AgentSettings(parallel_turns=1)) as agent, asyncio.timeout(60):
        chats = ("c1", "c2", "c3", "c3")
        first, second, third, fourth = await accepted(agent, (inbound(chat_id=chat) for chat in chats))
        await model.asked.acquire()
        assert agent.inbox.cancel("test", "c3")
        assert model.asked.locked()
        model.go.release()
        assert without_empty_record((await end(first)).text) == "a"
        await model.asked.acquire()
        model.go.release()
        assert without_empty_record((await end(second)).text) == "b"
        assert [(await end(one)).error_code for one in (third, fourth)] == ["cancelled"] * 2
        assert len(model.requests) == 2


# Listeners.


async def test_a_full_stream_drops_the_oldest_steps_and_never_the_answer(make_agent: MakeAgent) -> None:
    stream = RunningTurn(InboxMessage(1, inbound(), 0), max_waiting=3)
    for n in range(10):
        stream.put(Step("plan", str(n)))
    stream.put(Answer("end"))
    stream.put(Step("plan", "late"))
    async with make_agent() as agent:
        events = [event async for event in agent.outbox.listener_events(stream)]
    assert [event.text for event in events if isinstance(event, Step | Answer)] == ["8", "9", "end"]


async def test_an_answer_goes_out_to_the_channel_only_if_its_listener_left(make_agent: MakeAgent) -> None:
    model = Held([say("one two"), say("mine")])
    async with make_agent(model=model) as agent, asyncio.timeout(60):
        left = await agent.inbox.accept(inbound())
        async with aclosing(left.events) as events:
            waiting = asyncio.ensure_future(anext(events))
            await model.asked.acquire()
            waiting.cancel()
            await asyncio.wait((waiting,))
        model.go.release()
        assert await next_out(agent) == "one two"
        model.go.release()
        answer = await end(await agent.inbox.accept(inbound()))
        await agent.outbox.push("test", "c1", "a push")
        assert await next_out(agent) == "a push"
        assert await agent.outbox.undelivered("test", "c1") == ()
        assert answer.outbound_id is not None
        await agent.outbox.note_delivered(answer.outbound_id)


async def test_an_answer_on_its_way_to_its_listener_is_not_given_out_before(make_agent: MakeAgent) -> None:
    """It is on the disk some time before its listener has it."""
    async with make_agent([say("answered")]) as agent, asyncio.timeout(60):
        answered = agent.table.answer
        seen = []

        async def answer(*words: Any, **more: Any) -> int:
            number = await answered(*words, **more)
            seen.append(await agent.outbox.undelivered("test", "c1"))
            return number

        agent.table.answer = answer  # type: ignore[method-assign]
        answer_of_it = await end(await agent.inbox.accept(inbound()))
        assert seen == [()]
        assert answer_of_it.outbound_id is not None
        await agent.outbox.give_back(answer_of_it.outbound_id)
        assert [without_empty_record(left.answer.text) for left in await agent.outbox.undelivered("test", "c1")] == [
            "answered"
        ]


async def test_what_was_passed_over_for_an_answer_on_its_way_is_given_out_after_it(database: Database) -> None:
    async with asyncio.timeout(60):
        table = OutboxTable(database, lambda: 0)
        outbox = Outbox(table)
        await table.add(OutboxRow("test", "c1", "answer", "owner", None, Answer("an answer")))
        outgoing = outbox.outgoing("test")
        with outbox.handing_out(RunningTurn(InboxMessage(1, inbound(chat_id="c1"), 0))):
            await outbox.push("test", "c2", "a push")
            assert (await anext(outgoing)).answer.text == "a push"
        assert without_empty_record((await anext(outgoing)).answer.text) == "an answer"


async def test_what_is_being_sent_goes_to_nobody_else_and_after_an_error_comes_again(database: Database) -> None:
    outbox = Outbox(OutboxTable(database, lambda: 0))
    number = await outbox.push("test", "c1", "a push")
    with suppress(ConnectionError):
        async with outbox.while_delivering("test", number):
            assert await outbox.undelivered("test", "c1") == ()
            raise ConnectionError
    assert [one.outbound_id for one in await outbox.undelivered("test", "c1")] == [number]
    async with outbox.while_delivering("test", number):
        pass
    assert await outbox.undelivered("test", "c1") == ()


# Restarts.


async def test_what_waited_is_answered_in_order_after_a_restart_and_before_new_messages(make_agent: MakeAgent) -> None:
    held = Held([])
    async with make_agent(model=held) as agent:
        await accepted(agent, (Inbound("test", "c1", "first", attachments=(PICTURE,)), inbound("second")))
        await asyncio.wait_for(held.asked.acquire(), 60)
    async with make_agent([say("one"), say("two"), say("three")]) as agent:
        third = await agent.inbox.accept(inbound("third"))
        await agent.conversations.recover()
        assert without_empty_record((await end(third)).text) == "three"
        asked = [request.messages[-1] for request in agent.script.requests]
        assert asked == [UserText("first", (ImageInput("image/png", b"png"),)), UserText("second"), UserText("third")]
        assert [await next_out(agent) for _ in range(2)] == ["one", "two"]


async def test_at_the_hosts_end_a_running_tool_may_end_and_the_turn_is_resumed(make_agent: MakeAgent) -> None:
    workshop = Workshop(hold=asyncio.Event())
    assert workshop.hold is not None
    async with make_agent([call("gpio-set", pin=1), say("too late")], workshop=workshop) as agent:
        one = await agent.inbox.accept(inbound())
        await asyncio.wait_for(workshop.holding.wait(), 60)
        draining = asyncio.create_task(agent.conversations.drain())
        await asyncio.sleep(0)
        await accepted(agent, (), inbound())
        workshop.hold.set()
        await draining
        stopping = await end(one)
        assert (stopping.error_code, stopping.outbound_id) == ("cancelled", None)
    async with make_agent([say("done")]) as agent:
        await agent.conversations.recover()
        assert (await next_out(agent)).startswith("done\n\nWhat the host did:\n- done: gpio-set pin=1")
        assert (workshop.done, agent.workshop.done) == (["set 1 1"], []), "it was finished, so it is not done again"


async def test_answered_messages_are_pruned_and_unanswered_ones_are_not(make_agent: MakeAgent) -> None:
    async with make_agent([say("x")] * 4) as agent:
        await agent.table.add(inbound("waits", "c2"))
        for number in range(4):
            await end(await agent.inbox.accept(inbound(key=str(number))))
        assert await agent.database.write(lambda sql: prune(sql, 0, rows=1)) == 3
        numbers = [await agent.table.number_of("test", str(number)) for number in range(4)]
        assert [number is None for number in numbers] == [True, True, True, False]
        assert [row.inbound.text for row in await agent.table.unanswered()] == ["waits"]
