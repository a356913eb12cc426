"""What one host does for all: one at a time, with a fence that grows, also over crashes and outages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from tests.cluster.hosts_of_tests import host_in, until
from tests.cluster.nats_servers import NatsServer

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
async def holding(duties: Duties, worker: Worker, name: str = "telegram") -> AsyncIterator[None]:
    task = asyncio.create_task(duties.hold(name, worker.work))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_duty_is_one_hosts_and_goes_over_when_it_leaves(nats_server: NatsServer, cluster_name: str) -> None:
    first, second = Worker(), Worker()
    async with (
        host_in(nats_server.url, cluster_name, "a-0001") as (ca, ha),
        host_in(nats_server.url, cluster_name, "b-0001") as (cb, hb),
        Duties.opened(ca, ha) as da,
        Duties.opened(cb, hb) as db,
        AsyncExitStack() as stack,
    ):
        async with holding(da, first):
            await until(lambda: first.working, "nobody has the duty")
            await stack.enter_async_context(holding(db, second))
            await until(lambda: "telegram" in db.known, "the other host does not know who has it")
            assert db.known["telegram"].holder == "a-0001"
            assert not second.working
        await until(lambda: second.working, "the duty does not go over")
        assert not first.working
        assert second.fences == [first.fences[-1] + 1]


async def test_a_host_that_is_cut_off_stops_before_another_begins(nats_server: NatsServer, cluster_name: str) -> None:
    first, second = Worker(), Worker()
    both = False

    async def watch() -> None:
        nonlocal both
        while True:
            both = both or (first.working and second.working)
            await asyncio.sleep(0.005)

    async with (
        host_in(nats_server.url, cluster_name, "a-0001") as (ca, ha),
        host_in(nats_server.url, cluster_name, "b-0001") as (cb, hb),
        Duties.opened(ca, ha) as da,
        Duties.opened(cb, hb) as db,
        holding(da, first),
    ):
        await until(lambda: first.working, "the first host does not take the duty")
        watching = asyncio.create_task(watch())
        async with holding(db, second):
            await ca.client.close()
            await until(lambda: second.working, "the duty does not go over")
        watching.cancel()
        assert not first.working
        assert not both
        assert second.fences[0] > first.fences[-1]


async def test_a_deleted_bucket_gives_no_lower_fence(nats_server: NatsServer, cluster_name: str) -> None:
    worker = Worker()
    async with (
        host_in(nats_server.url, cluster_name, "a-0001") as (cluster, hosts),
        Duties.opened(cluster, hosts) as duties,
        holding(duties, worker),
    ):
        await until(lambda: worker.working, "nobody has the duty")
        await cluster.jetstream.delete_key_value(cluster.stream("DUTIES"))
        await until(lambda: len(worker.fences) == 2 and worker.working, "the duty is not taken again")
        assert worker.fences == [1, 2]


async def test_work_that_ends_frees_the_duty_and_an_error_is_raised(nats_server: NatsServer, cluster_name: str) -> None:
    async def ends(_fence: int) -> None:
        return

    async def fails(fence: int) -> None:
        raise LookupError(fence)

    async with (
        host_in(nats_server.url, cluster_name, "a-0001") as (cluster, hosts),
        Duties.opened(cluster, hosts) as duties,
    ):
        await duties.hold("telegram", ends)
        assert duties.known["telegram"].holder is None
        with pytest.raises(LookupError, match="2"):
            await duties.hold("telegram", fails)
        assert duties.known["telegram"].holder is None
