"""The loop: one turn a chat at a time, kept conversations, crashes told, listeners that leave."""

from __future__ import annotations

import pytest
from tests.agent.conftest import MakeAgent

from microclaw.agent.acts import NOTHING, own_words
from microclaw.errors import StoreError
from microclaw.models.protocol import AssistantReply, ModelReply, ModelRequest, ToolReturn, UserText
from microclaw.models.scripted import call, say
from microclaw.store.journal import EffectKey
from microclaw.store.sessions import SessionMessage

RECORD = "\n\nWhat the host did:\n- done: gpio-set pin=4 (counted: pin 4 is at 1)"


async def test_only_the_persons_text_and_the_final_answer_are_kept(make_agent: MakeAgent) -> None:
    async with make_agent([call("gpio-set", pin=4), say("pin 4 is on")]) as agent:
        await agent.answer("set pin 4 on")
        assert await agent.sessions.load("test", "c1") == (
            SessionMessage("user", "set pin 4 on", 1_700_000_000),
            SessionMessage("assistant", f"pin 4 is on{RECORD}", 1_700_000_000),
        )


async def test_a_message_holds_nothing_hidden_for_the_model(make_agent: MakeAgent) -> None:
    async with make_agent([say("ok")]) as agent:
        await agent.answer("hello\u200b\U000e0073\U000e0065\U000e0074 👩\u200d💻")
        assert agent.script.requests[0].messages == (UserText("hello 👩\u200d💻"),)


async def test_a_chat_remembers_and_another_chat_knows_nothing_of_it(make_agent: MakeAgent) -> None:
    async with make_agent([say("one"), say("two"), say("three")]) as agent:
        await agent.answer("first")
        await agent.answer("second")
        await agent.answer("third", chat_id="c2")
        assert agent.script.requests[1].messages == (
            UserText("first"),
            AssistantReply(f"one\n\n{NOTHING}"),
            UserText("second"),
        )
        assert agent.script.requests[2].messages == (UserText("third"),)


async def test_what_is_remembered_is_bounded_and_begins_with_the_person(make_agent: MakeAgent) -> None:
    async with make_agent([say("a" * 15_000), say("b" * 15_000), say("c")]) as agent:
        await agent.answer("1" * 5_000)
        await agent.answer("2" * 5_000)
        await agent.answer("last")
        sent = agent.script.requests[2].messages
        assert isinstance(sent[0], UserText)
        assert "settled earlier" in sent[0].text
        assert sent[-1] == UserText("last")
        assert sum(len(message.text) for message in sent if not isinstance(message, ToolReturn)) <= 32_000 + 4


@pytest.mark.parametrize("broken", ["tool", "model"])
async def test_what_was_done_before_a_fault_of_ours_is_told_and_the_loop_goes_on(
    make_agent: MakeAgent, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault = call("crash") if broken == "tool" else OverflowError("a fault of ours")
    async with make_agent([call("gpio-set", pin=4), fault, say("still here")]) as agent:
        answer = await agent.answer("set pin 4 and break")
        assert answer.error_code == "internal"
        done = [(act.tool, act.outcome) for act in answer.actions]
        assert done == [("gpio-set", "done"), *([("crash", "unknown")] if broken == "tool" else [])]
        assert "- done: gpio-set pin=4" in answer.text
        assert "a fault of ours" in caplog.text
        assert own_words((await agent.answer("hi")).text) == "still here"


@pytest.mark.parametrize(
    ("effect", "told"),
    [
        ("once", "outcome unknown"),
        ("idempotent", "asking for it again is safe"),
    ],
)
async def test_what_a_crash_left_open_is_told_by_its_kind(make_agent: MakeAgent, effect: str, told: str) -> None:
    async with make_agent() as agent:
        key = EffectKey("t1", 0, 0)
        await agent.journal.write([agent.journal.starting(key, "undo", "{}", effect)])
    async with make_agent() as agent:
        (sentence,) = await agent.conversations.recover()
        assert told in sentence
        assert agent.workshop.done == []


async def test_an_effect_that_began_after_the_start_is_not_taken_for_one_that_a_crash_left(
    make_agent: MakeAgent,
) -> None:
    async with make_agent() as agent:
        key = EffectKey("t1", 0, 0)
        await agent.journal.write([agent.journal.starting(key, "undo", "{}", "once")])
        assert await agent.conversations.recover() == ()
        await agent.journal.write([agent.journal.ending(key, "{}", ok=True)])


async def test_an_answer_that_cannot_be_kept_is_given_all_the_same(make_agent: MakeAgent) -> None:
    async def refused(*_: object) -> int:
        raise StoreError("the disk is full")

    def spoil(_: ModelRequest) -> ModelReply:
        agent.table.answer = refused  # type: ignore[assignment, method-assign]
        return say("pin 4 is on")

    async with make_agent([spoil, say("so is pin 5")]) as agent:
        for text in ("pin 4 is on", "so is pin 5"):  # and its chat goes on
            answer = await agent.answer("set pin 4 on")
            assert answer.text.startswith(f"{text}\n")
            assert "\n(This answer could not be kept" in answer.text
            assert answer.outbound_id is None
