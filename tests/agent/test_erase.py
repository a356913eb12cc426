"""Removing a conversation: not in the middle of an answer, not another's, and what was answered stays answered."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.agent.conftest import Agent, Held, MakeAgent
from tests.agent.test_inbox import end, inbound
from tests.stores import new_store

from microclaw.agent.acts import NOTHING
from microclaw.agent.conversation import erase_conversation
from microclaw.errors import Overloaded, UnknownName
from microclaw.knowledge.search import Search
from microclaw.knowledge.texts import TextFiles
from microclaw.models.scripted import call, say
from microclaw.store.database import Database
from microclaw.store.notes import NoteTable

WORD = "quizzaclefoo"


def searching(agent: Agent, folder: Path, index: Database) -> Search:
    texts = TextFiles(folder, now=lambda: datetime.now(UTC))
    return Search(NoteTable(index), texts=texts, sessions=agent.sessions)


async def erase(agent: Agent, folder: Path, index: Database | None = None) -> str:
    search, history = searching(agent, folder, index or agent.database), folder / "chat_history"
    return await erase_conversation("c1", inbox=agent.inbox, sessions=agent.sessions, search=search, history=history)


def holding(folder: Path, word: str = WORD) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path.name for path in files if word.encode() in path.read_bytes())


async def test_effects_and_answers_go_and_the_message_stays_answered(make_agent: MakeAgent, tmp_path: Path) -> None:
    replies = [call("deploy-wasm-app", source_code=WORD, app_name="blink"), say(f"{WORD}!")]
    async with make_agent(replies) as agent:
        await end(await agent.inbox.accept(inbound(WORD, key="7")))
        assert holding(tmp_path)
        assert await erase(agent, tmp_path) == "test_c1"
        assert holding(tmp_path) == []
        again = await agent.inbox.accept(inbound(WORD, key="7"))
        assert again.duplicate
        with pytest.raises(UnknownName):
            await erase(agent, tmp_path)
    async with make_agent([]) as agent:  # a start brings nothing back
        assert await agent.sessions.list() == ()


async def test_another_conversation_stays(make_agent: MakeAgent, tmp_path: Path) -> None:
    async with make_agent([say("one"), say(f"two {WORD}")]) as agent:
        await end(await agent.inbox.accept(inbound("hi", "c1")))
        await end(await agent.inbox.accept(inbound("hi", "c2")))
        await erase(agent, tmp_path)
        assert [message.content for message in await agent.sessions.load("test", "c2")] == [
            "hi",
            f"two {WORD}\n\n{NOTHING}",
        ]
        assert "microclaw.db" in " ".join(holding(tmp_path))


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


async def test_words_in_an_index_of_its_own_go_too(make_agent: MakeAgent, tmp_path: Path) -> None:
    async with make_agent([say(f"{WORD}!")]) as agent, Database.open(new_store(tmp_path / "index.db")) as index:
        await end(await agent.inbox.accept(inbound(WORD, key="7")))
        assert await searching(agent, tmp_path, index).find("owner", WORD) != ()
        assert "index.db-wal" in holding(tmp_path)
        await erase(agent, tmp_path, index)
        assert holding(tmp_path) == []
