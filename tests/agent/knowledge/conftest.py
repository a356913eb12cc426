"""Memory, conversations and their index in a home of their own; clocks that tests set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.stores import new_store

from microclaw.agent.knowledge.memory import Memory
from microclaw.agent.knowledge.search import Search
from microclaw.agent.knowledge.texts import TextFiles
from microclaw.host.store.database import Database
from microclaw.host.store.notes import NoteTable
from microclaw.host.store.sessions import Sessions

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)


@dataclass
class Clock:
    """The time of day, as tests set it."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def now_s(self) -> float:
        return self.at.timestamp()

    def pass_days(self, days: int) -> None:
        self.at += timedelta(days=days)


@dataclass
class Shelf:
    """A home with everything that is remembered in it."""

    home: Path
    clock: Clock
    table: NoteTable
    search: Search
    memory: Memory
    sessions: Sessions

    def write(self, name: str, text: str) -> Path:
        """A file as a person's editor leaves it."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def versions(self, name: str) -> list[Path]:
        """Its kept versions, oldest first."""
        path = self.home / name
        return sorted((path.parent / "versions").glob(f"{path.stem}.*"))

    async def texts(self, person: str, query: str) -> list[str]:
        return [found.text for found in await self.search.find(person, query)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def shelf(tmp_path: Path, clock: Clock) -> AsyncIterator[Shelf]:
    home = tmp_path / "home"
    async with Database.open(new_store(home / "store.db")) as database:
        table = NoteTable(database)
        sessions = Sessions(database, lambda: int(clock.now_s() * 1000))
        search = Search(
            table, texts=TextFiles(home, now=clock.now), sessions=sessions, now_s=clock.now_s, rescan_s=0, patience_s=60
        )
        memory = Memory(TextFiles(home, now=clock.now), now=clock.now, changed=search.mark_stale)
        yield Shelf(home, clock, table, search, memory, sessions)


async def rows_of(table: NoteTable) -> int:
    """The number of rows in the index."""
    return int(await table.database.read(lambda sql: sql.execute("SELECT count(*) FROM notes").fetchone()[0]))
