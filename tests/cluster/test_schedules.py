"""Schedules over two hosts: each due time once, whatever their clocks, and a dead host's runs by one other host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

import pytest
from tests.cluster.hosts import PATIENCE_S, Leases, Seat
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
    clock: Clock
    hands: Hands
    table: ScheduleTable
    book: ScheduleBook
    runner: Runner
    tasks: list[asyncio.Task[None]]

    async def add(self, tool: str = "again") -> Schedule:
        return await self.book.add(ScheduleRequest("every 5 minutes", "set", ToolAct(tool, "{}"), "owner"))

    async def ended(self, schedule: Schedule, count: int) -> tuple[RunRow, ...]:
        """Its runs, once so many ended."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                runs = await self.table.runs(schedule.schedule_id, 50)
                if sum(run.ended_ms is not None for run in runs) >= count:
                    return runs
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Nothing more is done or written by it."""
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


MakeHost: TypeAlias = Callable[..., Awaitable[OneHost]]


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
async def make(database_url: str, leases: Leases) -> AsyncIterator[MakeHost]:
    async with AsyncExitStack() as stack:

        async def host(name: str, *, ahead: timedelta = timedelta(), hold: asyncio.Event | None = None) -> OneHost:
            database, fleet = (
                await stack.enter_async_context(SharedDatabase.opened(database_url, name)),
                Seat(name, leases),
            )
            table, clock, hands = ScheduleTable(database), Clock(START + ahead), Hands(hold=hold)
            book = ScheduleBook(table, People(), clock.now_ms, devices=Boards().registry, zone=ZONE.key)
            runner = Runner(
                book=book, table=table, perform=hands, clock=clock, wakes_an_hour=LIMIT, drain_s=0.01, fleet=fleet
            )
            work = (runner.run(), LeftWork(fleet, {"schedules": runner.take_up}).run())
            made = OneHost(clock, hands, table, book, runner, [asyncio.create_task(one) for one in work])
            stack.push_async_callback(made.stop)
            await clock.looked()
            return made

        yield host


async def test_each_due_time_fires_once_with_clocks_a_minute_apart(make: MakeHost) -> None:
    a, b = await make("a"), await make("b", ahead=A_MINUTE)
    schedule = await a.add()
    for step in range(1, 25):  # an hour in steps of 2.5 minutes; each host has its turn at being the first to see it
        for host in (a, b) if step % 2 else (b, a):
            await host.clock.to(START + timedelta(minutes=2.5 * step) + (A_MINUTE if host is b else timedelta()))
        await until(lambda: not (a.runner.running or b.runner.running))
    runs = await a.ended(schedule, 12)
    assert len({run.due_ms for run in runs}) == len(runs) == len(a.hands.done) + len(b.hands.done)
    assert {run.state for run in runs} == {"done"}


@pytest.mark.parametrize(("tool", "state", "done"), [("undo", "unknown", []), ("again", "done", ["set"])])
async def test_a_hosts_run_is_no_others_until_it_is_dead_and_then_closed_or_repeated_by_one(
    make: MakeHost, leases: Leases, tool: str, state: str, done: list[str]
) -> None:
    a = await make("a", hold=asyncio.Event())
    schedule = await a.add(tool)
    await a.clock.to(START + timedelta(minutes=5))
    await asyncio.wait_for(a.hands.begun.wait(), PATIENCE_S)
    b, c = await make("b"), await make("c")
    await b.clock.to(START + timedelta(minutes=10))
    skipped, run = await b.ended(schedule, 1)
    assert (skipped.state, run.state, run.host) == ("skipped", "started", "a")
    await a.stop()
    leases.end("a")
    _, run = await b.ended(schedule, 2)
    assert run.state == state
    assert run.host in ("b", "c")
    assert b.hands.done + c.hands.done == done
    taker, other = (b, c) if run.host == "b" else (c, b)
    await asyncio.wait_for(taker.hands.told.get(), PATIENCE_S)
    assert other.hands.told.empty()


async def test_a_host_that_was_only_cut_off_begins_nothing_that_another_host_took(
    make: MakeHost, leases: Leases
) -> None:
    a, b = await make("a"), await make("b")
    schedule = await a.add("undo")
    number, due_ms = schedule.schedule_id, schedule.next_ms
    assert due_ms is not None
    assert await a.table.claim(number, due_ms, next_ms=due_ms + 300_000, woke=False, now_ms=due_ms)
    assert not await b.table.claim(number, due_ms, next_ms=due_ms + 1, woke=False, now_ms=due_ms)
    leases.end("a")
    (run,) = await b.ended(schedule, 1)
    assert (run.state, run.host) == ("done", "b")  # it had not begun: it is done now
    with pytest.raises(TakenOver):
        await a.table.started(number, due_ms)
    await a.table.ended(number, due_ms, "failed", "late", woke=False, now_ms=due_ms)
    assert [run.state for run in await b.ended(schedule, 1)] == ["done"]
