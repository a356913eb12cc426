"""Schedules, changes and texts of several hosts: a live host's are its own, a dead one's are one other's, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TypeAlias

import psycopg
import pytest
from tests.agent.schedules.conftest import START, Clock, Hands, MakeWorld, World, world_of
from tests.host.cluster.hosts import PATIENCE_S, Leases, Seat
from tests.host.store.two_hosts import until

from microclaw.agent.turn.inbox import Inbox
from microclaw.agent.turn.outbox import Outbox
from microclaw.errors import DeployRejected, TakenOver
from microclaw.events import Answer, Inbound
from microclaw.host.cluster.live_hosts import LeftWork
from microclaw.host.store.inbox import InboxTable
from microclaw.host.store.outbox import OutboxTable
from microclaw.host.store.postgres import SharedDatabase
from microclaw.host.store.schedules import ToolAction
from microclaw.programs.changes.change_log import AppVersion, ChangeLog, PutApp

A_MINUTE = timedelta(minutes=1)
BLINK = PutApp("blink", AppVersion("ab", 8192, 20, 180_000, (2,)))
Opened: TypeAlias = Callable[[str], Awaitable[tuple[SharedDatabase, Seat]]]
OneHost: TypeAlias = Callable[..., AbstractAsyncContextManager[World]]
__all__ = ["world_of"]


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def opened(database_url: str, leases: Leases, stack: AsyncExitStack) -> Opened:
    async def opened(name: str) -> tuple[SharedDatabase, Seat]:
        return await stack.enter_async_context(SharedDatabase.opened(database_url, name)), Seat(name, leases)

    return opened


@pytest.fixture
def host(database_url: str, leases: Leases, world_of: MakeWorld) -> OneHost:
    @asynccontextmanager
    async def made(
        name: str, *, ahead: timedelta = timedelta(), hold: asyncio.Event | None = None
    ) -> AsyncIterator[World]:
        seat = Seat(name, leases)
        store = SharedDatabase.opened(database_url, name)
        async with world_of(Clock(START + ahead), Hands(hold=hold), store=store, fleet=seat) as world:
            left = asyncio.create_task(LeftWork(seat, {"schedules": world.runner.recover_runs}).run())
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
    host: OneHost, leases: Leases, stack: AsyncExitStack, tool: str, state: str, done: list[str]
) -> None:
    async with host("a", hold=asyncio.Event()) as a:
        schedule = await a.add("every 5 minutes", deed=ToolAction(tool, "{}"))
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
        with pytest.raises(TakenOver):  # it was only cut off
            await a.table.mark_started(schedule.schedule_id, run.due_ms)


async def test_a_change_that_a_live_host_makes_is_no_other_hosts_to_close(opened: Opened, leases: Leases) -> None:
    a, b = [ChangeLog(database, fleet=fleet) for database, fleet in [await opened(name) for name in "ab"]]
    number = await a.plan("d-1", "app.deploy", "put blink", BLINK, None)
    assert [change.change_id for change in await a.unfinished("d-1")] == [number]
    assert await b.unfinished() == []
    with pytest.raises(DeployRejected):
        await b.plan("d-1", "app.deploy", "put another", BLINK, None)
    leases.end("a")
    assert [change.change_id for change in await b.unfinished("d-1")] == [number]
    await b.end(number, "failed")
    await b.plan("d-1", "app.deploy", "put another", BLINK, None)


async def test_a_turn_whose_answer_was_not_stored_goes_on_at_its_own_host(opened: Opened, database_url: str) -> None:
    inboxes = []
    for name in "ab":
        database, fleet = await opened(name)
        outbox = Outbox(OutboxTable(database, lambda: 1_700_000_000_000), fleet=fleet)
        inboxes.append(Inbox(InboxTable(database, lambda: 1_700_000_000_000), outbox, fleet=fleet))
        await inboxes[-1].open()
    a, b = inboxes
    await a.accept(Inbound("test", "c1", "one"))
    turn = await anext(a)
    await b.accept(Inbound("test", "c1", "two"))
    waits = asyncio.create_task(anext(b))
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("ALTER TABLE outbox RENAME TO away")
        await a.finish(turn, Answer("done"))
        other.execute("ALTER TABLE away RENAME TO outbox")
    assert turn.answer is not None
    assert turn.answer.outbound_id is None
    await a.take_over()
    again = await asyncio.wait_for(anext(a), 60)
    await a.take_over()
    assert (again.number, again.message.starts, waits.done()) == (turn.number, 1, False)
    await a.finish(again, Answer("done"))
    assert (await asyncio.wait_for(waits, 60)).message.inbound.text == "two"
    assert a.waiting("test", "c1") == ()
