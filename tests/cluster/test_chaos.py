"""kill -9 of hosts and immediate stops of PostgreSQL under load: nothing acknowledged is lost or done twice.

MICROCLAW_CHAOS_S says for how long at least, MICROCLAW_CHAOS_SEED at which moments.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from tests.cluster.hosts import copy_identity
from tests.cluster.processes import (
    SETTLED_S,
    FleetDevice,
    Host,
    Promises,
    ask,
    check,
    paired_devices,
    rows,
    settled,
)
from tests.postgres import PostgresServer, running_server

import microclaw
from microclaw.errors import ConfigError
from microclaw.store.schema import VERSION

CHAOS_S = float(os.environ.get("MICROCLAW_CHAOS_S", "60"))
SEED = int(os.environ.get("MICROCLAW_CHAOS_SEED", "7"))
DEVICES: Final = 30
HOST_KILLS, DATABASE_STOPS = 20, 10
MOVED_S: Final = 5.0
SOURCE: Final = Path(microclaw.__file__).parent
STEP: Final = ("ALTER TABLE devices ADD COLUMN colour TEXT", "CREATE TABLE newer (a TEXT) STRICT")


@dataclass
class Fleet:
    server: PostgresServer
    hosts: list[Host]
    folder: Path
    rng: random.Random
    promises: Promises
    devices: list[FleetDevice]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Three hosts over a database whose acknowledged writes survive its death."""
    with (
        TemporaryDirectory(prefix="microclaw-postgres-") as folder,
        running_server(Path(folder), durable=True) as server,
    ):
        url = server.new_database(empty=True)
        hosts = [Host(tmp_path / f"host-{number}", url) for number in (1, 2, 3)]
        try:
            for host in hosts:
                host.home.mkdir(mode=0o700) if host is hosts[0] else copy_identity(hosts[0].home, host.home)
                host.start()
            yield Fleet(server, hosts, tmp_path, random.Random(SEED), Promises(), [])
        finally:
            for host in hosts:
                host.kill()


async def under_load(fleet: Fleet, harm: Callable[[Fleet], Awaitable[None]]) -> None:
    """Devices tell events, two people send notes and chat, while `harm` is done; then all is checked."""
    hosts, promises, rng = fleet.hosts, fleet.promises, fleet.rng
    fleet.devices = devices = await paired_devices(hosts[0], rng, DEVICES)
    quiet, over = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for device in devices:
            tasks.create_task(device.live(hosts, quiet, over), name=device.name)
        people = [tasks.create_task(ask(hosts, devices, rng, promises, quiet, who)) for who in ("ann", "bob")]
        await harm(fleet)
        quiet.set()
        await asyncio.wait(people)
        await settled(hosts, devices, promises)
        over.set()
    check(hosts[0].url, devices, promises)
    assert any(promises.notes.values())
    assert sum(device.sent for device in devices) > DEVICES


async def test_nothing_acknowledged_is_lost_or_done_twice_while_hosts_and_the_database_are_killed(fleet: Fleet) -> None:
    await under_load(fleet, kill_at_random)
    assert fleet.promises.kills["host"] >= HOST_KILLS
    assert fleet.promises.kills["database"] >= DATABASE_STOPS
    assert median(fleet.promises.moved_s) <= MOVED_S, "until the last of a killed host's devices is elsewhere"
    assert max(fleet.promises.moved_s) < SETTLED_S


async def kill_at_random(fleet: Fleet) -> None:
    """For CHAOS_S, and as often as is asked; afterwards all run."""
    kills, rng = fleet.promises.kills, fleet.rng
    loop = asyncio.get_running_loop()
    end = loop.time() + CHAOS_S
    while loop.time() < end or kills["host"] < HOST_KILLS or kills["database"] < DATABASE_STOPS:
        await asyncio.sleep(rng.uniform(0.3, 2.0))
        if rng.random() < DATABASE_STOPS / (HOST_KILLS + DATABASE_STOPS):
            kills["database"] += 1
            await asyncio.to_thread(fleet.server.kill)
            await asyncio.sleep(rng.uniform(0.0, 5.0))
            await asyncio.to_thread(fleet.server.start)
        else:
            await _kill_one(fleet)


async def _kill_one(fleet: Fleet) -> None:
    loop, connected = asyncio.get_running_loop(), {device.address for device in fleet.devices if device.ready.is_set()}
    victim = fleet.rng.choice([host for host in fleet.hosts if host.address in connected] or fleet.hosts)
    its = [device for device in fleet.devices if device.ready.is_set() and device.address == victim.address]
    fleet.promises.kills["host"] += 1
    await asyncio.to_thread(victim.kill)
    killed_at = loop.time()
    for device in its:
        device.ready.clear()
    while loop.time() - killed_at < SETTLED_S and not all(device.ready.is_set() for device in its):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    fleet.promises.moved_s += [loop.time() - killed_at] * bool(its)
    await _started(victim, fleet.promises)


async def _started(host: Host, promises: Promises) -> None:
    """Whoever keeps a host running starts it again."""
    while True:
        try:
            await asyncio.to_thread(host.start)
        except ConfigError as exc:
            promises.kills[exc.message] += 1
        else:
            return


def _acked(fleet: Fleet) -> list[int]:
    return [len(device.remembered.acked_numbers) for device in fleet.devices]


async def _told_more(fleet: Fleet) -> None:
    """Each device has two more messages acked."""
    wanted = [count + 2 for count in _acked(fleet)]
    async with asyncio.timeout(SETTLED_S):
        while any(has < wants for has, wants in zip(_acked(fleet), wanted, strict=True)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_all_hosts_killed_at_once_go_on_where_they_were(fleet: Fleet) -> None:
    async def harm(_: Fleet) -> None:
        for _time in range(2):
            await _told_more(fleet)
            await asyncio.gather(*(asyncio.to_thread(host.kill) for host in fleet.hosts))
            await asyncio.gather(*(_started(host, fleet.promises) for host in fleet.hosts))
        await _told_more(fleet)

    await under_load(fleet, harm)


async def test_nothing_is_lost_when_hosts_are_upgraded_one_after_another(fleet: Fleet) -> None:
    source = fleet.folder / "newer" / "src"

    async def harm(_: Fleet) -> None:
        await asyncio.to_thread(_newer_microclaw, source)
        await _told_more(fleet)
        for number, host in enumerate(fleet.hosts):
            await asyncio.to_thread(host.stop)
            host.source = source
            await asyncio.to_thread(host.start)
            await _told_more(fleet)
            status = (await asyncio.to_thread(host.client.get, "/v1/cluster"))["cluster"]
            told = " ".join(problem["text"] for problem in status["problems"])
            assert (str(VERSION + 1) in told) == (host is not fleet.hosts[-1]), number

    await under_load(fleet, harm)
    assert rows(fleet.hosts[0].url, "SELECT version FROM store_version") == [(VERSION + 1,)]
    assert "Traceback" not in "".join((host.home / "microclaw.log").read_text() for host in fleet.hosts)


def _newer_microclaw(source: Path) -> None:
    """A copy of this microclaw whose store has another version, beside what it reads outside its package."""
    shutil.copytree(SOURCE, source / "microclaw", ignore=shutil.ignore_patterns("__pycache__"))
    (source.parent / "firmware").symlink_to(SOURCE.parents[1] / "firmware")
    schema = source / "microclaw" / "store" / "schema.py"
    before, version, after = schema.read_text().partition("VERSION: Final = ")
    schema.write_text(f"{before}STEPS = (*STEPS, {STEP})\n{version}{after}")
