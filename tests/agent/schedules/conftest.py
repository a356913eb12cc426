"""A runner over the real store, with a clock that tests set and hands that only note what they were told to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, cast
from zoneinfo import ZoneInfo

import pytest
from tests.stores import new_store

from microclaw.agent.schedules import runner
from microclaw.agent.schedules.book import ScheduleBook
from microclaw.agent.schedules.due import to_ms
from microclaw.agent.schedules.runner import Runner, RunOutcome, Started
from microclaw.devices.registry.device_entry import unknown_device_error
from microclaw.devices.registry.registry import Registry
from microclaw.host.auth.people import OWNER
from microclaw.host.cluster.live_hosts import ALONE, Fleet
from microclaw.host.operations.operation import Permission
from microclaw.host.store.database import Database
from microclaw.host.store.people import Person
from microclaw.host.store.schedules import (
    Action,
    Missed,
    Once,
    RunRow,
    Schedule,
    SchedulePrompt,
    ScheduleTable,
    ToolAction,
)

ZONE = ZoneInfo("Europe/Berlin")
START = datetime(2026, 11, 20, 11, 0, tzinfo=ZONE)
LIMIT = 4


class Clock(runner.WallClock):
    """Time that stands still until a test moves it."""

    def __init__(self, at: datetime = START) -> None:
        super().__init__(lambda: self.at_ms)
        self.at_ms = to_ms(at)
        self.looks = 0
        self.idle = asyncio.Event()
        self._moved = asyncio.Event()

    async def wait(self, news: asyncio.Event, until_ms: int | None) -> None:
        """As the machine's clock does, it lets its waiter look again once it was set back."""
        self.looks += 1
        since_ms = self.at_ms
        while not news.is_set() and self.at_ms >= since_ms and (until_ms is None or self.at_ms < until_ms):
            self._moved.clear()
            self.idle.set()
            waits = [asyncio.create_task(news.wait()), asyncio.create_task(self._moved.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waits:
                    task.cancel()

    def move(self, moment: datetime) -> None:
        self.at_ms = to_ms(moment)
        self.idle.clear()
        self._moved.set()

    async def to(self, moment: datetime) -> None:
        """Move on, and return once the runner has looked at what is due then."""
        self.move(moment)
        await self.looked()

    async def looked(self) -> None:
        async with asyncio.timeout(60):
            await self.idle.wait()


@dataclass
class Hands:
    """The runs, in order. `hold` keeps a run going, `fault` makes it fail, `once` may not be repeated."""

    done: list[str] = field(default_factory=list)
    given: list[Schedule] = field(default_factory=list)
    told: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    hold: asyncio.Event | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    fault: Exception | None = None
    costs: bool = True

    async def run(self, schedule: Schedule, due_ms: int, started: Started, note: str) -> RunOutcome:
        await started()
        self.done.append(schedule.what)
        self.given.append(schedule)
        self.begun.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.fault is not None:
            raise self.fault
        prompt = isinstance(schedule.deed, SchedulePrompt)
        return RunOutcome("done", "it was done", used_model=prompt and self.costs, is_reported=prompt)

    def may_repeat(self, act: ToolAction) -> bool:
        return act.tool != "undo"

    def changes(self, act: ToolAction) -> bool:
        return act.tool != "say"

    async def tell(self, schedule: Schedule, text: str) -> None:
        self.told.put_nowait(text)


class People:
    def __init__(self) -> None:
        self.known = {"owner": OWNER, "p-ada": Person("p-ada", "ada", "member")}

    def get(self, person_id: str) -> Person | None:
        return self.known.get(person_id)


@dataclass
class Board:
    device_id: str
    name: str
    is_away: bool = False


class Boards:
    """A host's devices: renamed by setting `name`, removed from `known`."""

    def __init__(self) -> None:
        self.known = [Board("d-1", "lamp"), Board("d-2", "fan")]

    def list(self) -> Sequence[Board]:
        return tuple(self.known)

    def get(self, reference: str) -> Board:
        for one in self.known:
            if reference in (one.device_id, one.name):
                return one
        raise unknown_device_error(reference, [one.name for one in self.known])

    @property
    def registry(self) -> Registry:
        """These devices, for what takes the real registry."""
        return cast("Registry", self)

    def rename(self, name: str, new_name: str) -> None:
        self.get(name).name = new_name

    def remove(self, name: str) -> None:
        self.known.remove(self.get(name))


@dataclass
class World:
    clock: Clock
    hands: Hands
    table: ScheduleTable
    book: ScheduleBook
    runner: Runner
    people: People
    boards: Boards

    async def add(
        self,
        when: str,
        what: str = "set",
        deed: Action | None = None,
        person: str = "owner",
        *,
        zone: str | None = None,
        missed: Missed | None = None,
        device: str | None = None,
    ) -> Schedule:
        self.clock.idle.clear()
        timing = self.book.timing(when, zone)
        act = deed or ToolAction("gpio-set", "{}")
        chat = ("terminal", "terminal")
        asked: Missed = missed or ("run" if isinstance(timing, Once) else "skip")
        made = await self.book.add(
            Schedule(when, what, timing, act, person, *chat, device, asked, Permission.ACT, None)
        )
        await self.clock.looked()
        return made

    async def to(self, text: str) -> None:
        await self.clock.to(datetime.fromisoformat(text).replace(tzinfo=ZONE))

    async def heard(self) -> str:
        async with asyncio.timeout(60):
            return await self.hands.told.get()

    async def ended(self, schedule: Schedule, count: int = 1) -> tuple[RunRow, ...]:
        """Its runs, latest first, once so many have ended."""
        async with asyncio.timeout(60):
            while True:
                runs = await self.table.runs(schedule.schedule_id, 50)
                over = schedule.schedule_id not in self.runner.running
                if over and sum(run.ended_ms is not None for run in runs) >= count:
                    return runs


MakeWorld: TypeAlias = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def world_of(tmp_path: Path) -> MakeWorld:
    """`async with world_of(clock=..., hands=...) as world`: the same store each time; leaving is the host's end.

    On a file. tests/host/cluster has it on PostgreSQL, and tests/agent/schedules/test_due.py the table on both.
    """

    @asynccontextmanager
    async def make(
        clock: Clock | None = None,
        hands: Hands | None = None,
        drain_s: float = 0.01,
        boards: Boards | None = None,
        table_of: Callable[[Database], ScheduleTable] = ScheduleTable,
        report: Callable[[Exception | None], None] = lambda _: None,
        store: AbstractAsyncContextManager[Database] | None = None,
        fleet: Fleet = ALONE,
    ) -> AsyncIterator[World]:
        used = clock or Clock()
        doing = hands or Hands()
        known = boards or Boards()
        async with store or Database.open(new_store(tmp_path / "store" / "microclaw.db")) as database:
            table = table_of(database)
            people = People()
            book = ScheduleBook(table, people, used.now_ms, devices=known.registry, zone=ZONE.key)
            works = Runner(
                book=book,
                perform=doing,
                clock=used,
                wakes_an_hour=LIMIT,
                drain_s=drain_s,
                report=report,
                fleet=fleet,
            )
            used.idle.clear()
            running = asyncio.create_task(works.run())
            try:
                await used.looked()
                yield World(used, doing, table, book, works, people, known)
            finally:
                running.cancel()
                await asyncio.wait((running,))
                if not running.cancelled():
                    running.result()

    return make
