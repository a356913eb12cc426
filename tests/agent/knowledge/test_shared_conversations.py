"""The index of what was said at all hosts of a cluster: each host makes its own, and forgets what another removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.host.store.two_hosts import two_hosts
from tests.stores import new_store

from microclaw.agent.knowledge.search import Search
from microclaw.agent.knowledge.texts import TextFiles
from microclaw.host.store.database import Database
from microclaw.host.store.notes import NoteTable
from microclaw.host.store.sessions import SessionMessage, Sessions

TS = 1_790_000_000
WORD = "quizzaclefoo"


@dataclass
class Shelf:
    sessions: Sessions
    search: Search
    index: Path

    async def texts(self, words: str, person: str = "owner") -> list[str]:
        return [found.text for found in await self.search.find(person, words)]

    def holds(self, word: str) -> bool:
        files = [path for path in self.index.parent.glob(self.index.name + "*") if path.is_file()]
        return any(word.encode() in path.read_bytes() for path in files)


@asynccontextmanager
async def shelves(folder: Path, url: str) -> AsyncIterator[tuple[Shelf, Shelf]]:
    async with two_hosts(url) as stores, AsyncExitStack() as stack:
        made = []
        for store in stores:
            index = folder / f"{store.host}-index.db"
            table = Sessions(store, lambda: TS * 1000)
            search = Search(
                NoteTable(await stack.enter_async_context(Database.open(new_store(index)))),
                texts=TextFiles(folder, now=lambda: datetime.now(UTC)),
                sessions=table,
                rescan_s=0,
                patience_s=60,
            )
            table.follow(search.refresh_now)
            made.append(Shelf(table, search, index))
        yield made[0], made[1]


async def test_a_conversation_that_was_removed_at_one_host_is_in_no_index(tmp_path: Path, database_url: str) -> None:
    async with shelves(tmp_path, database_url) as (a, b):
        await a.sessions.append("tg", "1", [SessionMessage("user", f"about {WORD}", TS)])
        await a.sessions.append("tg", "2", [SessionMessage("user", "about lamps", TS)])
        for shelf in (a, b):
            assert await shelf.texts(WORD) == [f"about {WORD}"]
            assert shelf.holds(WORD)
        async with a.search.removing_source("sessions/tg_1.jsonl"):
            await a.sessions.remove("tg_1")
        async with asyncio.timeout(60):
            while b.holds(WORD):  # noqa: ASYNC110 - no event tells that a file was written again
                await asyncio.sleep(0.01)
        for shelf in (a, b):
            assert await shelf.texts(WORD) == []
            assert await shelf.texts("lamps") == ["about lamps"]
        await b.sessions.remove("tg_2")
        await b.sessions.append("tg", "2", [SessionMessage("user", f"about pumps {n}", TS) for n in range(3)])
        assert await a.texts("lamps") == []
        assert len(await a.texts("pumps")) == 3  # another one of that name is read from its beginning
