"""An order has an age: what was sent long ago is asked about once, in its order, and mere questions are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.agent.turn.conftest import Agent, Held, MakeAgent, Workshop
from tests.interfaces.channels.conftest import QUICK as QUICK_POLLS
from tests.interfaces.channels.conftest import MemoryPeople, run_telegram
from tests.interfaces.channels.telegram_server import TOKEN, TelegramServer

from microclaw.agent.models.protocol import ModelReply, ModelRequest, OnText, UserText
from microclaw.agent.models.scripted import ScriptedModel, call, say
from microclaw.agent.turn.model_requests import TurnLimits
from microclaw.agent.turn.turn_journal import OLD_ORDER
from microclaw.errors import Overloaded
from microclaw.events import Answer, Attachment, Inbound
from microclaw.host.auth.approved_act import ApprovalOutcome, PendingApproval
from microclaw.host.auth.people import OWNER
from microclaw.host.config.settings import TelegramSettings

NOW_MS = 1_700_000_000_000
NIGHT_MS = NOW_MS - 10 * 3_600_000
QUICK = TurnLimits(settle_s=0.01)
ON = call("gpio-set", pin=4, level=1)
OFF = call("gpio-set", pin=4, level=0)
READ = call("gpio-get", pin=4)


class Questions:
    """The questions that were asked, as they come."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.asked: asyncio.Queue[PendingApproval] = asyncio.Queue()
        agent.approvals.listen(self._hear)

    def _hear(self, news: PendingApproval | ApprovalOutcome) -> None:
        if isinstance(news, PendingApproval):
            self.asked.put_nowait(news)

    async def next(self) -> PendingApproval:
        async with asyncio.timeout(60):
            return await self.asked.get()


async def say_all(agent: Agent, texts: Sequence[str], sent_ms: int | None) -> list[Answer]:
    """Send messages one right after the other, and return their answers."""
    messages = []
    for text in texts:
        messages.append(await agent.inbox.accept(Inbound("test", "c1", text, sent_ms=sent_ms)))
    answers = []
    for message in messages:
        answer = await message.answer()
        assert answer is not None
        answers.append(answer)
    return answers


async def delivered(agent: Agent, count: int) -> None:
    """Wait for answers that nobody listens to."""
    outgoing = agent.outbox.outgoing("test")
    async with asyncio.timeout(60):
        for _ in range(count):
            outbound = await anext(outgoing)
            await agent.outbox.note_delivered(outbound.outbound_id)


async def test_old_orders_are_asked_about_together_and_done_in_their_order_after_a_yes(make_agent: MakeAgent) -> None:
    replies = [ON, READ, say("it is low"), OFF, ON, say("on"), OFF, say("off")]
    async with make_agent(replies, limits=QUICK) as agent:
        questions = Questions(agent)
        answers = await say_all(agent, ("set pin 4 on", "is pin 4 on", "set pin 4 off"), NIGHT_MS)
        assert [answer.error_code for answer in answers] == [OLD_ORDER, None, OLD_ORDER]
        assert answers[0].next_step == "answer the question that comes"
        assert agent.workshop.done == []
        question = await questions.next()
        assert [line.split(" ", 2)[2] for line in question.detail] == ["set pin 4 on", "set pin 4 off"]
        agent.approvals.decide(question.approval_id, approved=True, by="owner")
        await delivered(agent, 2)
        assert agent.workshop.done == ["set 4 1", "set 4 0"]
        assert questions.asked.empty()


async def test_an_old_order_is_not_done_after_a_no_and_a_new_one_is_done_meanwhile(make_agent: MakeAgent) -> None:
    async with make_agent([ON, OFF, say("off")], limits=QUICK) as agent:
        questions = Questions(agent)
        await say_all(agent, ("set pin 4 on",), NIGHT_MS)
        question = await questions.next()
        (answer,) = await say_all(agent, ("set pin 4 off",), None)
        assert answer.error_code is None
        agent.approvals.decide(question.approval_id, approved=False, by="owner")
        assert agent.workshop.done == ["set 4 0"]
        assert agent.inbox.waiting("test", "c1") == ()


@pytest.mark.parametrize(
    "order",
    [
        {"origin": "schedule"},
        {"origin": "device", "device": "lamp"},
        {"attachments": (Attachment("image", "image/png", b"png"),)},
        {"text": "set pin 4 on " + "please " * 60},
    ],
    ids=["schedule", "device", "picture", "long"],
)
async def test_an_old_order_that_no_question_shows_whole_is_to_be_said_again(
    make_agent: MakeAgent, order: dict[str, Any]
) -> None:
    async with make_agent([ON], limits=QUICK) as agent:
        inbound = Inbound("test", "c1", **{"text": "set pin 4 on", "sent_ms": NIGHT_MS, **order})
        answer = await (await agent.inbox.accept(inbound)).answer()
        assert answer is not None
        assert (answer.error_code, answer.next_step) == (OLD_ORDER, "say it again if it is still to be done")
        assert agent.workshop.done == []


@pytest.mark.parametrize("error", [Overloaded("16 acts wait already"), RuntimeError("a fault of ours")])
async def test_a_question_that_cannot_be_asked_ends_no_conversation_and_a_refused_one_is_told(
    make_agent: MakeAgent, error: Exception
) -> None:
    failed = asyncio.Event()

    async def ask(*_: object, **__: object) -> ApprovalOutcome:
        failed.set()
        raise error

    async with make_agent([ON, say("still here")], limits=QUICK) as agent, asyncio.timeout(60):
        agent.approvals.ask = ask  # type: ignore[method-assign]
        await say_all(agent, ("set pin 4 on",), NIGHT_MS)
        await failed.wait()
        if isinstance(error, Overloaded):
            outbound = await anext(agent.outbox.outgoing("test"))
            assert "16 acts wait already" in outbound.answer.text
        assert (await agent.answer("hi")).error_code is None


async def test_an_order_of_nine_minutes_ago_is_done(make_agent: MakeAgent) -> None:
    async with make_agent([ON, say("on")]) as agent:
        await say_all(agent, ("set pin 4 on",), NOW_MS - 9 * 60_000)
        assert agent.workshop.done == ["set 4 1"]


async def test_what_waited_in_a_host_that_was_off_is_as_old_as_its_arrival(make_agent: MakeAgent) -> None:
    shop = Workshop()
    async with make_agent(model=Held([]), workshop=shop) as agent:
        await agent.inbox.accept(Inbound("test", "c1", "set pin 4 on"))
        await agent.database.write(lambda sql: sql.execute("UPDATE inbox SET received_ms = ?", (NIGHT_MS,)))
    async with make_agent([ON], workshop=shop, limits=QUICK) as agent:
        questions = Questions(agent)
        await agent.conversations.recover()
        await questions.next()
        assert shop.done == []


class PinWords(ScriptedModel):
    """Reads "set pin 4 on" and "is pin 4 on" as calls, and repeats what they gave."""

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        message = request.messages[-1]
        if not isinstance(message, UserText):
            return say("that was it")
        verb, _, pin, *level = message.text.split()
        if verb == "is":
            return call("gpio-get", pin=int(pin))
        return call("gpio-set", pin=int(pin), level=int(level == ["on"]))


async def test_of_what_waited_at_telegram_over_night_nothing_is_refused_and_orders_are_asked_about_once(
    make_agent: MakeAgent,
) -> None:
    texts = ["set pin 4 on", *(f"is pin {pin} on" for pin in range(5, 25)), "set pin 4 off"]
    people = MemoryPeople({("tg", "100"): OWNER})
    async with (
        TelegramServer.running() as server,
        make_agent(model=PinWords([]), limits=TurnLimits(settle_s=0.3)) as agent,
        asyncio.TaskGroup() as tasks,
    ):
        for text in texts:
            await server.say(text, date=NIGHT_MS // 1000)
        running = tasks.create_task(
            run_telegram(
                TelegramSettings(TOKEN, server.base_url),
                inbox=agent.inbox,
                people=people,
                approvals=agent.approvals,
                timing=QUICK_POLLS,
            )
        )
        await server.until(lambda: any(message.buttons for message in server.chat(100)))
        assert agent.workshop.done == []
        (question,) = [message for message in server.chat(100) if message.buttons]
        assert "2 old orders since" in question.text
        assert len(server.chat(100)) == len(texts) + 1
        await server.press(question, "Approve")
        await server.until(lambda: len(server.chat(100)) == len(texts) + 3)
        assert agent.workshop.done == ["set 4 1", "set 4 0"]
        running.cancel()
