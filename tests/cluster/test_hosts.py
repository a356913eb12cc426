"""The hosts of a database by lease, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.cluster.hosts_of_tests import host_in, wire_to
from tests.postgres import running_server
from tests.store.two_hosts import until

from microclaw.cluster import hosts as module
from microclaw.errors import ConfigError

CHANGES = list[tuple[frozenset[str], frozenset[str]]]
HOST = """
import asyncio, sys
from tests.cluster.hosts_of_tests import host_in

async def main():
    async with host_in(sys.argv[1], sys.argv[2]) as (_, hosts):
        hosts.listeners.append(lambda joined, left: print(sys.argv[2] in left, flush=True))
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def other_process(url: str, host_id: str) -> subprocess.Popen[str]:
    """A host that tells when it joined, and then of each change whether it found that it was lost."""
    command = [sys.executable, "-c", HOST, url, host_id]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


async def test_hosts_see_each_other_and_a_leave_at_once(database_url: str) -> None:
    changes: CHANGES = []
    async with host_in(database_url, "a-0001") as (_, first):
        first.listeners.append(lambda joined, left: changes.append((joined, left)))
        async with host_in(database_url, "b-0001", devices=7) as (_, second):
            assert set(second.live) == {"a-0001", "b-0001"}
            await until(lambda: first.is_live("b-0001"))
            assert first.live["b-0001"].devices == 7
        left_at = time.monotonic()
        await until(lambda: not first.is_live("b-0001"))
        assert time.monotonic() - left_at < first.times.ttl_s - first.times.renew_s, "no lease had to end"
        assert changes == [(frozenset({"b-0001"}), frozenset()), (frozenset(), frozenset({"b-0001"}))]
        assert [one.ended for one in first.ended()] == ["in order"]
        assert not first.lost


async def test_a_host_that_is_cut_off_is_gone_for_the_others_and_knows_it(database_url: str) -> None:
    async with (
        wire_to(database_url) as wire,
        host_in(database_url, "a-0001") as (_, first),
        host_in(wire.url, "b-0001") as (_, second),
    ):
        await until(lambda: first.is_live("b-0001"))
        own: CHANGES = []
        second.listeners.append(lambda joined, left: own.append((joined, left)))
        term, worked_until = second.term, 0.0
        wire.cut()
        while first.is_live("b-0001"):
            worked_until = time.monotonic() if second.work_left_s > 0 else worked_until
            await asyncio.sleep(0.005)
        assert time.monotonic() - worked_until > 0.1, "it stopped before the others hold it for gone"
        await until(lambda: second.lost)
        assert not second.is_live("b-0001")
        assert second.is_live("a-0001"), "what a host does not know is as it was"
        assert second.stale
        assert own == [(frozenset(), frozenset({"b-0001"}))]
        await wire.mend()
        await until(lambda: first.is_live("b-0001") and not second.lost)
        assert second.term > term
        assert not first.lost


async def test_a_frozen_host_loses_its_lease_and_comes_back(database_url: str) -> None:
    async with host_in(database_url, "a-0001") as (_, first):
        process = other_process(database_url, "b-0001")
        try:
            await until(lambda: first.is_live("b-0001"))
            process.send_signal(signal.SIGSTOP)
            await until(lambda: not first.is_live("b-0001"))
            process.send_signal(signal.SIGCONT)
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == "True\n", "it is told before it is there again"
            await until(lambda: first.is_live("b-0001"))
        finally:
            process.kill()
            process.communicate()
        await until(lambda: not first.is_live("b-0001"))
        assert [(one.host_id, one.ended) for one in first.ended()] == [("b-0001", "gone")]


@pytest.mark.parametrize("away_s", [0.5, 6.0])
async def test_a_restart_of_the_database_costs_no_lease(away_s: float) -> None:
    with TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        url = server.new_database()
        async with host_in(url, "a-0001") as (_, first), host_in(url, "b-0001") as (_, second):
            await until(lambda: first.is_live("b-0001"))
            others: CHANGES = []
            first.listeners.append(lambda joined, left: others.append((joined, left)))
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(away_s)
            assert first.is_live("b-0001"), "nobody is held for gone by a host that does not see the database"
            await asyncio.to_thread(server.start)
            await until(lambda: not (first.stale or second.stale or first.lost or second.lost))
            await asyncio.sleep(first.times.ttl_s)
            assert not any("b-0001" in left for _, left in others)
            assert set(first.live) == set(second.live) == {"a-0001", "b-0001"}


async def test_a_second_live_host_of_a_name_is_refused_and_the_first_is_not(database_url: str) -> None:
    async with host_in(database_url, "c-0001", home="one") as (_, first):
        with pytest.raises(ConfigError) as refused:
            async with host_in(database_url, "c-0002", home="two"):
                pytest.fail("it joined")  # pragma: no cover
        assert "cluster.host" in (refused.value.next_step or "")
        assert set(first.live) == {"c-0001"}
        assert not first.lost


async def test_a_host_that_was_killed_may_start_again_while_its_lease_is_there(database_url: str) -> None:
    process = other_process(database_url, "c-0001")
    process.kill()
    process.communicate()
    began = time.monotonic()
    async with host_in(database_url, "c-0002", home="c-0001") as (_, again):  # its home
        assert time.monotonic() - began < again.times.ttl_s
        assert set(again.live) == {"c-0002"}
    process = other_process(database_url, "c-0003")
    process.kill()
    process.communicate()
    async with host_in(database_url, "c-0004", home="elsewhere") as (_, moved):
        assert set(moved.live) == {"c-0004"}


async def test_the_time_of_all_hosts_is_the_databases_when_a_clock_is_wrong(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host_in(database_url, "a-0001") as (_, first):
        for step_s in (3_600, -3_600):
            monkeypatch.setattr(module, "now_ms", lambda step_s=step_s: round((time.time() + step_s) * 1000))
            await until(lambda step_s=step_s: abs(first.standing()[0].clock_ahead_s - step_s) < 30)  # type: ignore[misc]
            assert abs(first.now_ms() / 1000 - time.time()) < 30
        assert not first.lost
