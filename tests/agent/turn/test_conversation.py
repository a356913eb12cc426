"""Kept conversations: what is remembered, what a crash left open, and how one is removed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.agent.turn.conftest import Agent, Held, MakeAgent
from tests.agent.turn.test_inbox import end, inbound
from tests.stores import new_store

from microclaw.agent.knowledge.search import Search
from microclaw.agent.knowledge.texts import TextFiles
from microclaw.agent.models.protocol import AssistantReply, ModelReply, ModelRequest, UserText
from microclaw.agent.models.scripted import call, say
from microclaw.agent.turn.action_record import NOTHING, without_empty_record
from microclaw.agent.turn.conversation import erase_conversation
from microclaw.errors import Overloaded, StoreError, StoreUnwritable, UnknownName
from microclaw.host.store.database import Database
from microclaw.host.store.notes import NoteTable
from microclaw.host.store.sessions import SessionMessage

RECORD = "\n\nWhat the host did:\n- done: gpio-set pin=4 (counted: pin 4 is at 1)"


async def test_only_the_persons_text_and_the_final_answer_are_kept_and_known_in_that_chat(
    make_agent: MakeAgent,
) -> None:
    async with make_agent([call("gpio-set", pin=4), say("pin 4 is on"), say("two"), say("three")]) as agent:
        await agent.answer("set pin 4\u200b\U000e0073\U000e0065\U000e0074 on 👩\u200d💻")
        assert await agent.sessions.load("test", "c1") == (
            SessionMessage("user", "set pin 4 on 👩\u200d💻", 1_700_000_000, turn=1),
            SessionMessage("assistant", f"pin 4 is on{RECORD}", 1_700_000_000, turn=1),
        )
        await agent.answer("second")
        await agent.answer("third", chat_id="c2")
        first = UserText("set pin 4 on 👩\u200d💻")
        kept = AssistantReply(f"pin 4 is on{RECORD}")
        assert agent.script.requests[0].messages == (first,), "nothing hidden reaches the model"
        assert agent.script.requests[2].messages == (first, kept, UserText("second"))
        assert agent.script.requests[3].messages == (UserText("third"),)


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
        assert without_empty_record((await agent.answer("hi")).text) == "still here"


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
            assert "\n(This answer could not be stored" in answer.text
            assert answer.outbound_id is None


async def test_a_message_whose_answer_the_store_failed_to_take_is_ended_when_it_is_back(make_agent: MakeAgent) -> None:
    ended = asyncio.Event()
    failures = [StoreUnwritable("the disk is full")]

    async def answered(*words: Any) -> int:
        if failures:
            raise failures.pop()
        number = await kept(*words)
        ended.set()
        return number

    def fail(_: ModelRequest) -> ModelReply:
        raise StoreUnwritable("the disk is full")

    async with make_agent([fail]) as agent, asyncio.timeout(60):
        kept = agent.table.answer
        agent.table.answer = answered  # type: ignore[assignment, method-assign]
        answer = await agent.answer("set pin 4 on")
        assert (answer.error_code, answer.next_step) == ("outcome_unknown", "look before you say it again")
        await ended.wait()
        assert await agent.table.unanswered() == ()


# Removing one.

WORD = "quizzaclefoo"


def searching(agent: Agent, folder: Path, index: Database) -> Search:
    texts = TextFiles(folder, now=lambda: datetime.now(UTC))
    return Search(NoteTable(index), texts=texts, sessions=agent.sessions)


async def erase(agent: Agent, folder: Path, index: Database | None = None) -> str:
    search = searching(agent, folder, index or agent.database)
    history = folder / "chat_history"
    return await erase_conversation("c1", sessions=agent.sessions, search=search, history=history)


def holding(folder: Path) -> list[str]:
    """The files that have the word in them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path.name for path in files if WORD.encode() in path.read_bytes())


async def test_effects_answers_and_an_index_of_its_own_go_and_the_message_stays_answered(
    make_agent: MakeAgent, tmp_path: Path
) -> None:
    replies = [call("deploy-wasm-app", source_code=WORD, app_name="blink"), say(f"{WORD}!"), say("two")]
    async with make_agent(replies) as agent, Database.open(new_store(tmp_path / "index.db")) as index:
        await end(await agent.inbox.accept(inbound(WORD, key="7")))
        await end(await agent.inbox.accept(inbound("hi", "c2")))
        assert await searching(agent, tmp_path, index).find("owner", WORD) != ()
        assert "index.db-wal" in holding(tmp_path)
        assert await erase(agent, tmp_path, index) == "test_c1"
        assert holding(tmp_path) == []
        assert (await agent.inbox.accept(inbound(WORD, key="7"))).duplicate
        with pytest.raises(UnknownName):
            await erase(agent, tmp_path)
    async with make_agent([]) as agent:  # a start brings nothing back
        assert [one.name for one in await agent.sessions.list()] == ["test_c2"]
        kept = [message.content for message in await agent.sessions.load("test", "c2")]
        assert kept == ["hi", f"two\n\n{NOTHING}"]


async def test_a_conversation_that_is_being_answered_is_refused(make_agent: MakeAgent, tmp_path: Path) -> None:
    model = Held([say("one"), say("two")])
    async with make_agent(model=model) as agent:
        model.go.release()
        await end(await agent.inbox.accept(inbound("hi")))
        second = await agent.inbox.accept(inbound(WORD))
        async with asyncio.timeout(60):
            await model.asked.acquire()
            await model.asked.acquire()
        with pytest.raises(Overloaded):
            await erase(agent, tmp_path)
        model.go.release()
        assert (await end(second)).text.startswith("two")
        assert len(await agent.sessions.load("test", "c1")) == 4
