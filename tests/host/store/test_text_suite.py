"""The texts of memory and persona, as files of one host and as rows of a store: one suite for both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from tests.host.store.two_hosts import two_hosts, until

from microclaw.agent.knowledge.memory import Memory, digest, memory_name
from microclaw.agent.knowledge.search import Search
from microclaw.agent.knowledge.texts import MAX_TEXT_BYTES, TextFiles, Texts, TextTable
from microclaw.errors import ConfigError, ToolRetry
from microclaw.host.store.database import Database
from microclaw.host.store.notes import NoteTable
from microclaw.host.store.postgres import SharedDatabase
from microclaw.host.store.sessions import Sessions

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
NOW_MS = 1_795_170_600_000
OWNERS = memory_name("owner")


@pytest.fixture(params=["files", "table"])
async def texts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Texts]:
    if request.param == "files":
        yield TextFiles(tmp_path / "home", now=lambda: NOW)
    else:
        async with SharedDatabase.opened(request.getfixturevalue("database_url"), "a") as database:
            yield TextTable(database, lambda: NOW_MS)


@pytest.fixture
def memory(texts: Texts) -> Memory:
    return Memory(texts, now=lambda: NOW)


async def put(texts: Texts, name: str, text: str) -> None:
    await texts.change(name, lambda _: (text, None))


async def test_a_change_is_whole_or_not_at_all_and_changes_at_once_lose_nothing(texts: Texts) -> None:
    def fails(_: str) -> tuple[str, None]:
        raise ToolRetry("no")

    assert texts.read(OWNERS) == ""
    assert await texts.change(OWNERS, lambda there: (there + "grüß\n", "done")) == "done"
    assert await texts.change(OWNERS, lambda there: (there + "\ud800\n", there)) == "grüß\n"
    with pytest.raises(ToolRetry):
        await texts.change(OWNERS, fails)
    assert texts.content(OWNERS) == texts.read(OWNERS).encode() == "grüß\n?\n".encode()
    await asyncio.gather(*(texts.change(OWNERS, lambda there, n=n: (f"{there}{n}\n", None)) for n in range(30)))  # type: ignore[misc]
    assert sorted(map(int, texts.read(OWNERS).split()[2:])) == list(range(30))


async def test_a_text_has_a_limit(texts: Texts) -> None:
    with pytest.raises(ConfigError):
        await put(texts, OWNERS, "x" * (MAX_TEXT_BYTES + 1))
    long = "- the last line\n" * (MAX_TEXT_BYTES // 10)
    await texts.change(OWNERS, lambda _: (long, None), max_bytes=1 << 20)
    assert len(texts.read(OWNERS)) <= MAX_TEXT_BYTES
    assert texts.read(OWNERS).endswith("line\n")
    with pytest.raises(ConfigError):
        await put(texts, OWNERS, "short")
    assert texts.content(OWNERS).decode() == long


async def test_what_two_hosts_remember_at_once_is_known_and_found_at_both(tmp_path: Path, database_url: str) -> None:
    async with two_hosts(database_url) as hosts, AsyncExitStack() as stack:
        memories = [Memory(TextTable(host, lambda: NOW_MS), now=lambda: NOW) for host in hosts]
        facts = [(memories[n % 2], f"lamp number {n}") for n in range(20)]
        await asyncio.gather(*(memory.remember("owner", fact) for memory, fact in facts))
        await until(lambda: memories[0].text("owner") == memories[1].text("owner"))
        assert all(f"- {fact}\n" in memories[0].texts.read(OWNERS) for _, fact in facts)
        for host, memory in zip(hosts, memories, strict=True):
            index = await stack.enter_async_context(Database.open(tmp_path / f"{host.host}-index.db"))
            search = Search(
                NoteTable(index), texts=memory.texts, sessions=Sessions(host, lambda: NOW_MS), rescan_s=0, patience_s=60
            )
            assert len(await search.find("owner", "lamp number", limit=50)) == len(facts)
            other = memories[1 - memories.index(memory)]
            await other.remember("owner", f"a siren at {host.host}")
            await until(partial(_knows, memory, f"a siren at {host.host}"))
            assert f"a siren at {host.host}" in [one.text for one in await search.find("owner", "siren")]


def _knows(memory: Memory, fact: str) -> bool:
    return fact in memory.text("owner")


async def test_of_two_edits_at_two_hosts_the_later_is_refused_in_words(database_url: str) -> None:
    async with two_hosts(database_url) as hosts:
        a, b = (Memory(TextTable(host, lambda: NOW_MS), now=lambda: NOW) for host in hosts)
        await a.remember("owner", "one")
        await until(lambda: b.text("owner"))
        was = digest(b.texts.read(OWNERS))
        done = await asyncio.gather(
            a.write(OWNERS, "of a", was=was), b.write(OWNERS, "of b", was=was), return_exceptions=True
        )
        refused = [one for one in done if one is not None]
        assert len(refused) == 1
        assert isinstance(refused[0], ConfigError)
        await until(lambda: a.text("owner") == b.text("owner") == ("of a" if done[0] is None else "of b"))
