"""Schedules over two hosts: each due time once, whatever their clocks, and a dead host's runs by one other host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TypeAlias

import pytest
from tests.cluster.hosts import PATIENCE_S, Leases, Seat
from tests.schedules.conftest import START, Clock, Hands, MakeWorld, World, world_of
from tests.store.two_hosts import until

from microclaw.errors import TakenOver
from microclaw.live_hosts import LeftWork
from microclaw.schedules.entry import ToolAct
from microclaw.store.postgres import SharedDatabase

A_MINUTE = timedelta(minutes=1)
OneHost: TypeAlias = Callable[..., AbstractAsyncContextManager[World]]
__all__ = ["world_of"]


@pytest.fixture
def host(database_url: str, leases: Leases, world_of: MakeWorld) -> OneHost:
    @asynccontextmanager
    async def made(
        name: str, *, ahead: timedelta = timedelta(), hold: asyncio.Event | None = None
    ) -> AsyncIterator[World]:
        seat, store = Seat(name, leases), SharedDatabase.opened(database_url, name)
        async with world_of(Clock(START + ahead), Hands(hold=hold), store=store, fleet=seat) as world:
            left = asyncio.create_task(LeftWork(seat, {"schedules": world.runner.take_up}).run())
            yield world
            left.cancel()
            await asyncio.wait((left,))

    return made


async def test_each_due_time_fires_once_with_clocks_a_minute_apart(host: OneHost) -> None:
    async with host("a") as a, host("b", ahead=A_MINUTE) as b:
        schedule = await a.add("every 5 minutes")
        for step in range(1, 25):  # an hour in steps of 2.5 minutes; each is the first to see it in its turn
            for one in (a, b) if step % 2 else (b, a):
                await one.clock.to(START + timedelta(minutes=2.5 * step) + (A_MINUTE if one is b else timedelta()))
            await until(lambda: not (a.runner.running or b.runner.running))
        runs = await a.ended(schedule, 12)
        assert len({run.due_ms for run in runs}) == len(runs) == len(a.hands.done) + len(b.hands.done)
        assert {run.state for run in runs} == {"done"}


@pytest.mark.parametrize(("tool", "state", "done"), [("undo", "unknown", []), ("again", "done", ["set"])])
async def test_a_hosts_run_is_no_others_until_it_is_dead_and_then_closed_or_repeated_by_one(
    host: OneHost, leases: Leases, tool: str, state: str, done: list[str]
) -> None:
    async with AsyncExitStack() as stack:
        async with host("a", hold=asyncio.Event()) as a:
            schedule = await a.add("every 5 minutes", deed=ToolAct(tool, "{}"))
            await a.clock.to(START + timedelta(minutes=5))
            await asyncio.wait_for(a.hands.begun.wait(), PATIENCE_S)
            b, c = [await stack.enter_async_context(host(name)) for name in "bc"]
            await b.clock.to(START + timedelta(minutes=10))
            skipped, run = await b.ended(schedule, 1)
            assert (skipped.state, run.state, run.host) == ("skipped", "started", "a")
        leases.end("a")
        _, run = await b.ended(schedule, 2)
        assert run.state == state
        assert run.host in ("b", "c")
        assert b.hands.done + c.hands.done == done
        taker, other = (b, c) if run.host == "b" else (c, b)
        await taker.heard()
        assert other.hands.told.empty()


async def test_a_host_that_was_only_cut_off_begins_nothing_that_another_host_took(
    host: OneHost, leases: Leases
) -> None:
    async with host("a") as a, host("b") as b:
        schedule = await a.add("every 5 minutes", deed=ToolAct("undo", "{}"))
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
