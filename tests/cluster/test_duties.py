"""What one host does for all: one at a time, with a fence that grows, also over crashes and outages."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
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


async def test_the_duty_of_a_host_that_was_killed_goes_over(nats_server: NatsServer, cluster_name: str) -> None:
    script = f"""
import asyncio
from tests.cluster.hosts_of_tests import host_in
from microclaw.cluster.duties import Duties
async def work(fence):
    print(fence, flush=True)
    await asyncio.Event().wait()
async def main():
    async with host_in({nats_server.url!r}, {cluster_name!r}, "dead-0001") as (cluster, hosts):
        async with Duties.opened(cluster, hosts) as duties:
            await duties.hold("telegram", work)
asyncio.run(main())
"""
    with subprocess.Popen(  # noqa: ASYNC220  it starts in no time
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            fence = int(await asyncio.to_thread(process.stdout.readline))
            worker = Worker()
            async with (
                host_in(nats_server.url, cluster_name, "b-0001") as (cluster, hosts),
                Duties.opened(cluster, hosts) as duties,
                holding(duties, worker),
            ):
                await until(lambda: "telegram" in duties.known, "the other's duty is not seen")
                assert duties.known["telegram"].holder == "dead-0001"
                assert not worker.working
                process.send_signal(signal.SIGKILL)
                await until(lambda: worker.working, "the duty does not go over")
                assert worker.fences == [fence + 1]
                assert not hosts.is_live("dead-0001")
        finally:
            process.kill()


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


async def test_the_work_begins_again_with_a_higher_fence_when_nats_is_back(
    nats_server: NatsServer, cluster_name: str
) -> None:
    worker = Worker()
    async with (
        host_in(nats_server.url, cluster_name, "a-0001") as (cluster, hosts),
        Duties.opened(cluster, hosts) as duties,
        holding(duties, worker),
    ):
        await until(lambda: worker.working, "nobody has the duty")
        nats_server.pause()
        try:
            await until(lambda: not worker.working, "the work goes on without a lease")
        finally:
            nats_server.resume()
        await until(lambda: worker.working, "the work does not begin again")
        assert worker.fences[-1] > worker.fences[0] == 1


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


@pytest.mark.parametrize("ahead_s", [3_600.0, -3_600.0])
async def test_a_host_whose_clock_is_an_hour_off_keeps_its_lease_and_its_duty_and_takes_nobodys(
    nats_server: NatsServer, cluster_name: str, ahead_s: float
) -> None:
    wrong, right = Worker(), Worker()
    async with (
        host_in(nats_server.url, cluster_name, "a-0001", ahead_s=ahead_s) as (ca, ha),
        host_in(nats_server.url, cluster_name, "b-0001") as (cb, hb),
        Duties.opened(ca, ha) as da,
        Duties.opened(cb, hb) as db,
        holding(da, wrong, "telegram"),
        holding(db, right, "mqtt"),
    ):
        await until(lambda: wrong.working and right.working, "a duty is nobody's")
        gone: list[frozenset[str]] = []
        for hosts in (ha, hb):
            hosts.listeners.append(lambda _, left: gone.append(left))
        async with holding(da, Worker(), "mqtt"), holding(db, Worker(), "telegram"):
            enough = ha.renewed_at + 2 * ha.times.ttl_s
            await until(lambda: min(ha.renewed_at, hb.renewed_at) > enough, "the leases are not renewed")
            assert (da.known["telegram"].holder, da.known["mqtt"].holder) == ("a-0001", "b-0001")
        assert (wrong.working, right.working) == (True, True)
        assert (len(wrong.fences), len(right.fences), gone) == (1, 1, [])
        assert not ha.lost
        assert not hb.lost
