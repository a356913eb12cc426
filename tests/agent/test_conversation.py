"""Kept conversations: what is remembered, what a crash left open, and how one is removed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.agent.conftest import Agent, Held, MakeAgent
from tests.agent.test_inbox import end, inbound
from tests.stores import new_store

from microclaw.agent.acts import NOTHING, own_words
from microclaw.agent.conversation import erase_conversation
from microclaw.agent.turn_journal import ReadRow, ReplyRow, TurnJournal, answer_from, encode, result_from
from microclaw.apps.change_log import ChangeLog, SetLevel, made_by
from microclaw.auth.gate import Effect
from microclaw.errors import Overloaded, StoreError, UnknownName
from microclaw.events import Action, Answer, Edge, Evidence, Inbound, Usage
from microclaw.knowledge.search import Search
from microclaw.knowledge.texts import TextFiles
from microclaw.models.protocol import AssistantReply, ModelReply, ModelRequest, ToolCall, ToolReturn, UserText
from microclaw.models.scripted import call, say
from microclaw.operations.tool import Begin, ToolResult
from microclaw.store.database import Database
from microclaw.store.inbox import InboxTable
from microclaw.store.journal import EffectKey, Journal
from microclaw.store.notes import NoteTable
from microclaw.store.sessions import SessionMessage

RECORD = "\n\nWhat the host did:\n- done: gpio-set pin=4 (counted: pin 4 is at 1)"
EDGES = (Evidence("counted", "2 edges", (Edge(1.5, 2, 1), Edge(3, 2, 0))),)


async def test_only_the_persons_text_and_the_final_answer_are_kept_and_known_in_that_chat(
    make_agent: MakeAgent,
) -> None:
    async with make_agent([call("gpio-set", pin=4), say("pin 4 is on"), say("two"), say("three")]) as agent:
        await agent.answer("set pin 4\u200b\U000e0073\U000e0065\U000e0074 on 👩\u200d💻")
        assert await agent.sessions.load("test", "c1") == (
            SessionMessage("user", "set pin 4 on 👩\u200d💻", 1_700_000_000),
            SessionMessage("assistant", f"pin 4 is on{RECORD}", 1_700_000_000),
        )
        await agent.answer("second")
        await agent.answer("third", chat_id="c2")
        first, kept = UserText("set pin 4 on 👩\u200d💻"), AssistantReply(f"pin 4 is on{RECORD}")
        assert agent.script.requests[0].messages == (first,), "nothing hidden reaches the model"
        assert agent.script.requests[2].messages == (first, kept, UserText("second"))
        assert agent.script.requests[3].messages == (UserText("third"),)


async def test_what_is_remembered_is_bounded_and_begins_with_the_person(make_agent: MakeAgent) -> None:
    async with make_agent([say("a" * 15_000), say("b" * 15_000), say("c")]) as agent:
        for text in ("1" * 5_000, "2" * 5_000, "last"):
            await agent.answer(text)
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


# The journal of a turn.


@pytest.mark.parametrize(
    ("effect", "told"), [("once", "outcome unknown"), ("idempotent", "asking for it again is safe")]
)
async def test_what_a_crash_left_open_is_told_by_its_kind(make_agent: MakeAgent, effect: str, told: str) -> None:
    key = EffectKey("t1", 0, 0)
    async with make_agent() as agent:
        await agent.journal.write([agent.journal.starting(key, "undo", "{}", effect)])
        assert await agent.conversations.recover() == (), "it began after this host's start"
    async with make_agent() as agent:
        (sentence,) = await agent.conversations.recover()
        assert told in sentence
        assert agent.workshop.done == []


def test_an_answer_comes_back_as_it_was_even_with_broken_unicode() -> None:
    acted = Action("undo", "{}", "once", "unknown", (), "the host stopped")
    answer = Answer("it\ud800 blinks", (acted,), EDGES, Usage(3, 4, None, 1), "failed", "look", tainted_s=7)
    assert answer_from(encode(answer)) == answer
    assert '"foreign_s":7' in encode(answer)  # the key of what is stored
    result = ToolResult('{"success":true}', ok=True, evidence=EDGES, foreign=True)
    assert result_from(encode(result)) == result


async def test_what_a_turn_noted_is_read_back_in_order_with_the_results_of_its_calls(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "m.db") as database:
        journal, inbox = Journal(database, lambda: 1), InboxTable(database, lambda: 1)
        await inbox.add(Inbound("test", "c1", "first"))
        reply = ModelReply("", (ToolCall("1", "gpio-get", "{}"), ToolCall("2", "undo", "{}")), literal=True)
        looked = ToolResult('{"level":1}', ok=True, foreign=True)
        turn = TurnJournal(journal, "m1", 1)
        turn.add(ReplyRow(reply))
        turn.add(ReadRow(0, looked))
        await turn.flush()
        again = TurnJournal(journal, "m1", 1)
        assert await again.read_back() == (reply,)
        assert again.known(EffectKey("m1", 0, 0)) == looked
        assert again.known(EffectKey("m1", 0, 1)) is None


async def test_what_follows_by_rule_is_written_with_its_change_and_ends_with_the_answer(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "m.db") as database:
        journal, log = Journal(database, lambda: 1), ChangeLog(database)
        await InboxTable(database, lambda: 1).add(Inbound("test", "c1", "set pin 5 on"))
        asked = ToolCall("1", "gpio-set", "{}")
        turn = TurnJournal(journal, "m1", 1)
        turn.add(ReplyRow(ModelReply("", (asked,), literal=True)))

        async def run(begin: Begin) -> ToolResult:
            await begin()
            assert (await journal.unfinished(), await journal.rows(1)) == ((), ())
            with made_by("m1", ahead=turn.carried):
                with pytest.raises(StoreError):  # what was to go with it waits on
                    await log.plan("d-1", "gpio.set", "no such change", SetLevel(5, 1), None, undoes=99)
                await log.plan("d-1", "gpio.set", "set pin 5", SetLevel(5, 1), None)
            assert [effect.state for effect in await journal.unfinished()] == ["started"]
            assert len(await journal.rows(1)) == 1
            return ToolResult("{}", ok=True)

        await turn.call(EffectKey("m1", 0, 0), asked, Effect.IDEMPOTENT, run)
        await turn.before_asking()
        assert len(await journal.unfinished()) == 1
        with turn.carried() as work:
            await database.write(work)
        assert [effect.state for effect in await journal.of_turn("m1")] == ["done"]


# Removing one.

WORD = "quizzaclefoo"


def searching(agent: Agent, folder: Path, index: Database) -> Search:
    texts = TextFiles(folder, now=lambda: datetime.now(UTC))
    return Search(NoteTable(index), texts=texts, sessions=agent.sessions)


async def erase(agent: Agent, folder: Path, index: Database | None = None) -> str:
    search, history = searching(agent, folder, index or agent.database), folder / "chat_history"
    return await erase_conversation("c1", inbox=agent.inbox, sessions=agent.sessions, search=search, history=history)


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
