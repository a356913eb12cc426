"""Schedules over two hosts: each due time once, whatever their clocks, and a dead host's runs by one other host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from tests.cluster.hosts_of_tests import PATIENCE_S, Leases, Seat
from tests.schedules.conftest import LIMIT, START, ZONE, Boards, Clock, Hands, People
from tests.store.two_hosts import until

from microclaw.errors import TakenOver
from microclaw.live_hosts import LeftWork
from microclaw.schedules.book import ScheduleBook, ScheduleRequest
from microclaw.schedules.entry import Schedule, ToolAct
from microclaw.schedules.runner import Runner
from microclaw.store.postgres import SharedDatabase
from microclaw.store.schedules import RunRow, ScheduleTable

A_MINUTE = timedelta(minutes=1)


@dataclass
class OneHost:
    name: str
    clock: Clock
    hands: Hands
    database: SharedDatabase
    table: ScheduleTable
    book: ScheduleBook
    runner: Runner
    running: asyncio.Task[None]

    async def add(self, when: str, tool: str = "again") -> Schedule:
        return await self.book.add(ScheduleRequest(when, "set", ToolAct(tool, "{}"), "owner"))

    async def runs(self, schedule: Schedule) -> tuple[RunRow, ...]:
        return await self.table.runs(schedule.schedule_id, 50)

    async def die(self) -> None:
        """Its tasks are abandoned, as far as that goes in one process: nothing more is done or written by them."""
        self.running.cancel()
        await asyncio.wait((self.running,))


@dataclass
class Stage:
    leases: Leases
    url: str
    stack: AsyncExitStack

    async def host(self, name: str, *, ahead: timedelta = timedelta(), hands: Hands | None = None) -> OneHost:
        clock, doing = Clock(START + ahead), hands or Hands()
        return await self.stack.enter_async_context(self._running(name, clock, doing))

    @asynccontextmanager
    async def _running(self, name: str, clock: Clock, hands: Hands) -> AsyncIterator[OneHost]:
        async with SharedDatabase.opened(self.url, name) as database:
            table, fleet = ScheduleTable(database), Seat(name, self.leases)
            book = ScheduleBook(table, People(), clock.now_ms, devices=Boards().registry, zone=ZONE.key)
            runner = Runner(
                book=book, table=table, perform=hands, clock=clock, wakes_an_hour=LIMIT, drain_s=0.01, fleet=fleet
            )
            running = asyncio.create_task(runner.run(), name=f"{name}: runner")
            left = asyncio.create_task(LeftWork(fleet, {"schedules": runner.take_up}).run(), name=f"{name}: left")
            await clock.looked()
            yield OneHost(name, clock, hands, database, table, book, runner, running)
            for task in (running, left):
                task.cancel()
            await asyncio.wait((running, left))


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        yield Stage(Leases(), database_url, stack)


async def ended(host: OneHost, schedule: Schedule, count: int) -> tuple[RunRow, ...]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            runs = await host.runs(schedule)
            if sum(run.ended_ms is not None for run in runs) >= count:
                return runs
            await asyncio.sleep(0.01)


async def test_each_due_time_fires_once_with_clocks_a_minute_apart(stage: Stage) -> None:
    a, b = await stage.host("a"), await stage.host("b", ahead=A_MINUTE)
    schedule = await a.add("every 5 minutes")
    for step in range(1, 25):  # an hour in steps of 2.5 minutes; each host has its turn at being the first to see it
        at = START + timedelta(minutes=2.5 * step)
        first, second = (a, b) if step % 2 else (b, a)
        for host in (first, second):
            await host.clock.to(at + (A_MINUTE if host is b else timedelta()))
        await until(lambda: not (a.runner.running or b.runner.running))
    runs = await ended(a, schedule, 12)
    dues = [run.due_ms for run in runs]
    assert len(set(dues)) == len(dues)
    assert {run.state for run in runs} == {"done"}
    assert len(a.hands.done) + len(b.hands.done) == len(runs)
    assert 12 <= len(runs) <= 13  # the clock that is ahead may see the next one
    assert await b.runs(schedule) == await a.runs(schedule)


async def test_what_a_host_decided_on_an_old_view_changes_nothing(stage: Stage) -> None:
    a, b = await stage.host("a"), await stage.host("b")
    schedule = await a.add("every 5 minutes")
    number, due_ms = schedule.schedule_id, schedule.next_ms
    assert due_ms is not None
    assert await a.table.claim(number, due_ms, next_ms=due_ms + 300_000, woke=False, now_ms=due_ms)
    # b has read that it is due, and knows nothing of the claim yet
    assert not await b.table.claim(number, due_ms, next_ms=due_ms + 1, woke=False, now_ms=due_ms)
    await b.table.set_next(number, due_ms + 2, instead_of=due_ms)
    await b.table.skipped(number, due_ms, next_ms=due_ms + 3, why="late", now_ms=due_ms)
    assert not await b.table.claim(number, due_ms + 300_000, next_ms=None, woke=False, now_ms=due_ms)  # a runs it
    row = await b.table.get(number)
    assert row is not None
    assert row.next_ms == due_ms + 300_000
    assert [(run.state, run.host) for run in await b.runs(schedule)] == [("claimed", "a")]


async def test_a_run_that_goes_on_at_one_host_is_not_begun_at_another(stage: Stage) -> None:
    a, b = await stage.host("a", hands=Hands(hold=asyncio.Event())), await stage.host("b")
    schedule = await a.add("every 5 minutes")
    await a.clock.to(START + timedelta(minutes=5))
    await asyncio.wait_for(a.hands.begun.wait(), PATIENCE_S)
    await b.clock.to(START + timedelta(minutes=10))
    skipped = (await ended(b, schedule, 1))[0]
    assert skipped.state == "skipped"
    assert b.hands.done == []
    assert a.hands.hold is not None
    a.hands.hold.set()
    assert [run.state for run in await ended(a, schedule, 2)] == ["skipped", "done"]


@pytest.mark.parametrize(("tool", "state", "done"), [("undo", "unknown", []), ("again", "done", ["set"])])
async def test_a_dead_hosts_run_is_closed_or_repeated_by_one_other_host_after_its_lease(
    stage: Stage, tool: str, state: str, done: list[str]
) -> None:
    a = await stage.host("a", hands=Hands(hold=asyncio.Event()))
    schedule = await a.add("every 5 minutes", tool)
    await a.clock.to(START + timedelta(minutes=5))
    await asyncio.wait_for(a.hands.begun.wait(), PATIENCE_S)
    b, c = await stage.host("b"), await stage.host("c")  # they start while a lives: its run is left alone
    for host in (b, c):
        await host.runner.take_up()
        (run,) = await host.runs(schedule)
        assert (run.state, run.host) == ("started", "a")
    await a.die()
    stage.leases.end("a")
    (run,) = await ended(b, schedule, 1)
    assert (run.state, run.host) == (state, run.host)
    assert run.host in ("b", "c")
    assert b.hands.done + c.hands.done == done
    taker = b if run.host == "b" else c
    await asyncio.wait_for(taker.hands.told.get(), PATIENCE_S)
    assert (c if taker is b else b).hands.told.empty()


async def test_a_host_that_was_only_cut_off_begins_nothing_that_another_host_took(stage: Stage) -> None:
    a, b = await stage.host("a"), await stage.host("b")
    schedule = await a.add("every 5 minutes", "undo")
    due_ms = schedule.next_ms
    assert due_ms is not None
    assert await a.table.claim(schedule.schedule_id, due_ms, next_ms=due_ms + 300_000, woke=False, now_ms=due_ms)
    stage.leases.end("a")
    (run,) = await ended(b, schedule, 1)
    assert (run.state, run.host) == ("done", "b")  # it had not begun: it is done now
    with pytest.raises(TakenOver):
        await a.table.started(schedule.schedule_id, due_ms)
    await a.table.ended(schedule.schedule_id, due_ms, "failed", "late", woke=False, now_ms=due_ms)
    assert [run.state for run in await b.runs(schedule)] == ["done"]
