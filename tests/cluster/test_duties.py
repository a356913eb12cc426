"""What one host does for all: one at a time, with a fence that grows, also over crashes and outages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from tests.cluster.hosts_of_tests import host_in, wire_to
from tests.store.two_hosts import until

from microclaw.cluster.duties import Duties


class Worker:
    """A duty's work that never ends by itself; `fences` has its beginnings."""

    def __init__(self) -> None:
        self.fences: list[int] = []
        self.working = False

    async def work(self, fence: int) -> None:
        self.fences.append(fence)
        self.working = True
        try:
            await asyncio.Event().wait()
        finally:
            self.working = False


@asynccontextmanager
async def holding(duties: Duties, worker: Worker) -> AsyncIterator[None]:
    task = asyncio.create_task(duties.hold("telegram", worker.work))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_a_duty_is_one_hosts_and_goes_over_when_it_leaves(database_url: str) -> None:
    first, second = Worker(), Worker()
    async with (
        host_in(database_url, "a-0001") as (one, ha),
        host_in(database_url, "b-0001") as (other, hb),
        AsyncExitStack() as stack,
    ):
        async with holding(Duties(one, ha), first):
            await until(lambda: first.working)
            await stack.enter_async_context(holding(Duties(other, hb), second))
            assert await Duties(other, hb).held() == [("telegram", "a-0001", 1)]
            await asyncio.sleep(ha.times.renew_s * 2)
            assert not second.working
        await until(lambda: second.working)
        assert not first.working
        assert (first.fences, second.fences) == ([1], [2])


async def test_a_host_that_is_cut_off_stops_before_another_begins(database_url: str) -> None:
    first, second = Worker(), Worker()
    async with (
        wire_to(database_url) as wire,
        host_in(wire.url, "a-0001") as (one, ha),
        host_in(database_url, "b-0001") as (other, hb),
        holding(Duties(one, ha), first),
    ):
        await until(lambda: first.working)
        async with holding(Duties(other, hb), second):
            wire.cut()
            async with asyncio.timeout(60):
                while not second.working:
                    await asyncio.sleep(0.002)
                    assert not (first.working and second.working)
            assert second.fences == [2]
            await wire.mend()
            await until(lambda: not ha.lost)
            await asyncio.sleep(ha.times.renew_s * 2)
            assert not first.working


async def test_work_that_ends_frees_the_duty_and_an_error_is_raised(database_url: str) -> None:
    async def ends(_fence: int) -> None:
        return

    async def fails(fence: int) -> None:
        raise LookupError(fence)

    async with host_in(database_url, "a-0001") as (database, hosts):
        duties = Duties(database, hosts)
        await duties.hold("telegram", ends)
        assert await duties.held() == [("telegram", None, 1)]
        with pytest.raises(LookupError, match="2"):
            await duties.hold("telegram", fails)
        assert await duties.held() == [("telegram", None, 2)]
