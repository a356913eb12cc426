"""The hosts of a database by lease, and what one host does for all, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import psycopg
import pytest
from tests.host.cluster.hosts import Way, host_in
from tests.host.store.two_hosts import until
from tests.postgres import running_server

from microclaw.errors import ConfigError, StoreError
from microclaw.host.cluster import hosts as module
from microclaw.host.cluster.hosts import RENEW_S, TTL_S
from microclaw.host.cluster.leader_tasks import Duties
from microclaw.host.cluster.results import ClusterDuty
from microclaw.host.store.devices import DeviceRow, DeviceTable
from microclaw.host.store.schema import VERSION


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


async def test_a_host_that_is_cut_off_is_gone_for_the_others_and_stops_its_duties_before(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TTL_S", 12.0), ("WORK_S", 10.4), ("_TTL_MS", 12_000)):  # longer than a busy machine halts
        monkeypatch.setattr(module, name, value)
    first = Worker()
    second = Worker()
    way = Way(database_url)
    async with (
        host_in(way.url, "a-0001") as (one, ha),
        host_in(database_url, "b-0001") as (other, hb),
        holding(Duties(one, ha), first),
    ):
        await until(lambda: first.working and hb.is_live("a-0001"))
        term = ha.term
        async with holding(Duties(other, hb), second):
            await asyncio.sleep(RENEW_S * 2)
            assert not second.working
            way.cut()
            async with asyncio.timeout(60):
                while not second.working:
                    await asyncio.sleep(0.002)
                    assert not (first.working and second.working)
            assert not hb.is_live("a-0001")
            await until(lambda: ha.lost)
            assert not ha.is_live("a-0001")
            assert ha.is_live("b-0001"), "what a host does not know is as it was"
            way.mend()
            await until(lambda: hb.is_live("a-0001") and not ha.lost)
            assert ha.term > term
            await asyncio.sleep(RENEW_S * 2)
            assert not first.working
        await until(lambda: first.working)
        assert (first.fences, second.fences) == ([1, 3], [2]), "in order it goes over at once"


async def test_a_host_that_stops_in_order_is_gone_at_once_and_work_that_ends_frees_its_duty(database_url: str) -> None:
    async def fails(fence: int) -> None:
        raise LookupError(fence)

    async with host_in(database_url, "a-0001") as (database, first):
        async with host_in(database_url, "b-0001"):
            await until(lambda: first.is_live("b-0001"))
        await until(lambda: not first.is_live("b-0001"))
        assert [one.ended for one in first.ended()] == ["in order"]
        duties = Duties(database, first)
        with pytest.raises(LookupError):
            await duties.hold("telegram", fails)
        assert await duties.held() == (ClusterDuty("telegram", None, 1),)


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


async def test_a_second_live_host_of_a_name_is_refused(database_url: str) -> None:
    async with host_in(database_url, "c-0001", home="one") as (_, first):
        with pytest.raises(ConfigError) as refused:
            async with host_in(database_url, "c-0002", home="two"):
                pytest.fail("it joined")  # pragma: no cover
        assert "cluster.host" in (refused.value.next_step or "")
        assert set(first.live) == {"c-0001"}
        assert not first.lost


async def test_the_time_of_all_hosts_is_the_databases_when_a_clock_is_wrong(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host_in(database_url, "a-0001") as (_, first):
        for step_s in (3_600, -3_600):
            monkeypatch.setattr(module, "now_ms", lambda step_s=step_s: round((time.time() + step_s) * 1000))
            await until(lambda step_s=step_s: abs(first.current()[0].clock_ahead_s - step_s) < 30)  # type: ignore[misc]
            assert abs(first.now_ms() / 1000 - time.time()) < 30
        assert not first.lost


async def test_an_older_host_gives_up_its_duties_and_writes_nothing_beside_a_newer_one(database_url: str) -> None:
    async with host_in(database_url, "old-0001") as (old, hosts):
        table = DeviceTable(old)
        worker = Worker()
        async with holding(Duties(old, hosts), worker):
            await until(lambda: worker.working)
            facts = msgspec.structs.replace(hosts.live["old-0001"], schema=VERSION + 1)
            newer = msgspec.json.encode({**msgspec.structs.asdict(facts), "more": True}).decode()
            with psycopg.connect(database_url) as connection:
                connection.execute("UPDATE store_version SET version = %s", (VERSION + 1,))
                connection.execute(
                    "INSERT INTO hosts (host_id, name, home, facts, renewed_ms, until_ms) "
                    "SELECT 'new-0001', 'new', 'new', %s, renewed_ms, until_ms + 60000 FROM hosts", (newer,),
                )  # fmt: skip
            with pytest.raises(StoreError, match=str(VERSION + 1)):
                await table.put(DeviceRow("lamp", "lamp", "virtual"))
            assert not await table.list()
            await until(lambda: not worker.working and hosts.is_live("new-0001"))
