"""The hosts of a database by lease, and what one host does for all, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.cluster.hosts import host_in, wire_to
from tests.postgres import running_server
from tests.store.two_hosts import until

from microclaw.cluster import hosts as module
from microclaw.cluster.duties import Duties
from microclaw.cluster.hosts import RENEW_S, TTL_S
from microclaw.errors import ConfigError

HOST = """
import asyncio, sys
from tests.cluster.hosts import host_in

async def main():
    async with host_in(sys.argv[1], sys.argv[2]) as (_, hosts):
        hosts.listen(lambda: print(hosts.lost, flush=True))
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def other_process(url: str, host_id: str) -> Iterator[subprocess.Popen[str]]:
    """A host that tells at each change whether it found that it was lost; at the end it is killed."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOST, url, host_id], stdout=subprocess.PIPE, text=True, env=environ
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_hosts_see_each_other_and_a_leave_at_once(database_url: str) -> None:
    async with host_in(database_url, "a-0001") as (_, first):
        async with host_in(database_url, "b-0001", devices=7) as (_, second):
            assert set(second.live) == {"a-0001", "b-0001"}
            await until(lambda: first.is_live("b-0001"))
            assert first.live["b-0001"].devices == 7
        left_at = time.monotonic()
        await until(lambda: not first.is_live("b-0001"))
        assert time.monotonic() - left_at < TTL_S - RENEW_S, "no lease had to end"
        assert [one.ended for one in first.ended()] == ["in order"]


async def test_a_host_that_is_cut_off_is_gone_for_the_others_and_stops_its_duties_before(database_url: str) -> None:
    first, second = Worker(), Worker()
    async with (
        wire_to(database_url) as wire,
        host_in(wire.url, "a-0001") as (one, ha),
        host_in(database_url, "b-0001") as (other, hb),
        holding(Duties(one, ha), first),
    ):
        await until(lambda: first.working and hb.is_live("a-0001"))
        term = ha.term
        async with holding(Duties(other, hb), second):
            await asyncio.sleep(RENEW_S * 2)
            assert not second.working
            wire.cut()
            async with asyncio.timeout(60):
                while not second.working:
                    await asyncio.sleep(0.002)
                    assert not (first.working and second.working)
            assert not hb.is_live("a-0001")
            await until(lambda: ha.lost)
            assert not ha.is_live("a-0001")
            assert ha.is_live("b-0001"), "what a host does not know is as it was"
            assert ha.stale
            assert (first.fences, second.fences) == ([1], [2])
            await wire.mend()
            await until(lambda: hb.is_live("a-0001") and not ha.lost)
            assert ha.term > term
            assert not hb.lost
            await asyncio.sleep(RENEW_S * 2)
            assert not first.working
        await until(lambda: first.working)
        assert first.fences == [1, 3], "in order it goes over at once"


async def test_a_frozen_host_loses_its_lease_and_comes_back(database_url: str) -> None:
    async with host_in(database_url, "a-0001") as (_, first):
        with other_process(database_url, "b-0001") as process:
            await until(lambda: first.is_live("b-0001"))
            process.send_signal(signal.SIGSTOP)
            await until(lambda: not first.is_live("b-0001"))
            process.send_signal(signal.SIGCONT)
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == "True\n", "it is told before it is there again"
            await until(lambda: first.is_live("b-0001"))
        await until(lambda: not first.is_live("b-0001"))
        assert [(one.host_id, one.ended) for one in first.ended()] == [("b-0001", "gone")]


async def test_a_restart_of_the_database_costs_no_lease() -> None:
    with TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        url = server.new_database()
        async with host_in(url, "a-0001") as (_, first), host_in(url, "b-0001") as (_, second):
            await until(lambda: first.is_live("b-0001"))
            seen: list[bool] = []
            first.listen(lambda: seen.append(first.is_live("b-0001")))
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(TTL_S * 2)
            assert first.is_live("b-0001"), "nobody is held for gone by a host that does not see the database"
            await asyncio.to_thread(server.start)
            await until(lambda: not (first.stale or second.stale or first.lost or second.lost))
            await asyncio.sleep(TTL_S)
            assert all(seen)
            assert set(first.live) == set(second.live) == {"a-0001", "b-0001"}


async def test_a_second_live_host_of_a_name_is_refused_and_one_whose_namesake_was_killed_is_not(
    database_url: str,
) -> None:
    async with host_in(database_url, "c-0001", home="one") as (_, first):
        with pytest.raises(ConfigError) as refused:
            async with host_in(database_url, "c-0002", home="two"):
                pytest.fail("it joined")  # pragma: no cover
        assert "cluster.host" in (refused.value.next_step or "")
        assert set(first.live) == {"c-0001"}
        assert not first.lost
    for killed, again, home in (("d-0001", "d-0002", "d-0001"), ("d-0003", "d-0004", "elsewhere")):
        with other_process(database_url, killed):
            pass
        began = time.monotonic()
        async with host_in(database_url, again, home=home) as (_, second):
            assert home == "elsewhere" or time.monotonic() - began < TTL_S, "in its home it waits for no lease"
            assert set(second.live) == {again}


async def test_the_time_of_all_hosts_is_the_databases_when_a_clock_is_wrong(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host_in(database_url, "a-0001") as (_, first):
        for step_s in (3_600, -3_600):
            monkeypatch.setattr(module, "now_ms", lambda step_s=step_s: round((time.time() + step_s) * 1000))
            await until(lambda step_s=step_s: abs(first.standing()[0].clock_ahead_s - step_s) < 30)  # type: ignore[misc]
            assert abs(first.now_ms() / 1000 - time.time()) < 30
        assert not first.lost


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


async def test_work_that_ends_frees_the_duty_and_an_error_is_raised(database_url: str) -> None:
    async def ends(fence: int) -> None:
        if fence == 2:
            raise LookupError(fence)

    async with host_in(database_url, "a-0001") as (database, hosts):
        duties = Duties(database, hosts)
        await duties.hold("telegram", ends)
        assert await duties.held() == [("telegram", None, 1)]
        with pytest.raises(LookupError, match="2"):
            await duties.hold("telegram", ends)
        assert await duties.held() == [("telegram", None, 2)]
