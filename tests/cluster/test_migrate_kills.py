"""`microclaw migrate` and `cluster snapshot` killed at any moment: the same again does it, and nothing is half."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from tests.cli.conftest import clean_environ
from tests.cluster.nats_servers import NatsServer
from tests.cluster.stores import open_cluster, open_replica

from microclaw.cluster.store_meta import read_meta
from microclaw.errors import StoreOwned
from microclaw.store.database import Database
from microclaw.store.devices import DeviceRow, DeviceTable
from microclaw.store.sqlite_file import take_lock

KILLS: Final = 6
ROWS: Final = 3_000
SEED: Final = 20


class Command:
    """`microclaw ...` in a home, as a process; how long it takes is measured when it may end."""

    def __init__(self, home: Path, *words: str) -> None:
        self._words = [sys.executable, "-m", "microclaw", "--home", str(home), *words]
        self._home = home
        self._took_s = 1.0

    def run(self) -> subprocess.CompletedProcess[str]:
        began = time.monotonic()
        done = subprocess.run(
            self._words, env=clean_environ(self._home), capture_output=True, text=True, timeout=120, check=False
        )
        self._took_s = time.monotonic() - began
        return done

    def kill_at(self, part: float) -> None:
        """kill -9 after this part of the time that it took."""
        with subprocess.Popen(
            self._words, env=clean_environ(self._home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                process.wait(part * self._took_s)
            except subprocess.TimeoutExpired:
                process.kill()


async def filled(path: Path) -> None:
    async with Database.open(path) as database:
        devices = DeviceTable(database)
        rows = [DeviceRow(f"d{n}", f"lamp-{n}", "b", (), (f"link:d{n}",), 0) for n in range(ROWS)]
        await asyncio.gather(*(devices.put(row) for row in rows))


def devices_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as store:
        assert store.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        (count,) = store.execute("SELECT count(*) FROM devices").fetchone()
        return int(count)


def left_over(home: Path) -> list[str]:
    return [
        path.name
        for path in home.iterdir()
        if any(word in path.name for word in (".migrating", ".back", ".z", ".anew", ".snapshot"))
    ]


async def test_a_migration_that_is_killed_is_done_by_the_next(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    rng, home = random.Random(SEED), tmp_path / "home"
    await filled(home / "microclaw.db")
    named = ("--name", cluster_name)
    to = Command(home, "migrate", "--to", nats_server.url, *named)
    for number in range(KILLS):
        await asyncio.to_thread(to.kill_at, rng.uniform(0.3, 1.0 + number / KILLS))
    done = await asyncio.to_thread(to.run)
    assert done.returncode == 0 or "has a store already" in done.stderr, done.stderr
    assert devices_in(home / "microclaw.db") == ROWS
    copy = home / "cluster.db"
    async with open_replica(nats_server, cluster_name, copy):  # a host of it
        with pytest.raises(StoreOwned):
            take_lock(copy)
        assert "belongs to a running host" in (await asyncio.to_thread(to.run)).stderr
    assert devices_in(copy) == ROWS

    anew = Command(home, "migrate", "--to", nats_server.url, *named, "--replace")
    done = await asyncio.to_thread(anew.run)
    assert done.returncode == 0, done.stderr
    for _ in range(KILLS):
        await asyncio.to_thread(anew.kill_at, rng.uniform(0.3, 1.0))
    done = await asyncio.to_thread(anew.run)
    assert done.returncode == 0, done.stderr
    async with open_replica(nats_server, cluster_name, copy):  # this copy is the cluster's
        pass
    assert devices_in(copy) == ROWS

    back = Command(home, "migrate", "--back", "--nats", nats_server.url, *named, "--replace")
    for _ in range(KILLS):
        await asyncio.to_thread(back.kill_at, rng.uniform(0.3, 1.3))
        kept = home / "microclaw.db"
        assert devices_in(kept if kept.exists() else home / "microclaw.db.replaced") == ROWS
    done = await asyncio.to_thread(back.run)
    assert done.returncode == 0, done.stderr
    assert devices_in(home / "microclaw.db") == ROWS
    assert left_over(home) == []


async def test_snapshots_that_are_killed_leave_a_good_one_and_nothing_else(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    rng, home = random.Random(SEED), tmp_path / "home"
    copy = home / "cluster.db"
    environ = ("cluster", "snapshot", "--nats", nats_server.url)
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text(f'[cluster]\nname = "{cluster_name}"\n')
    snapshot = Command(home, *environ)
    async with open_replica(nats_server, cluster_name, copy) as (replica, _):
        devices = DeviceTable(replica)
        for number in range(KILLS + 1):
            rows = [DeviceRow(f"d{number}-{n}", f"l{number}-{n}", "b", (), (), 0) for n in range(ROWS // KILLS)]
            await asyncio.gather(*(devices.put(row) for row in rows))
            if number < KILLS:
                await asyncio.to_thread(snapshot.kill_at, rng.uniform(0.5, 1.2))
        done = await asyncio.to_thread(snapshot.run)
        assert done.returncode == 0, done.stderr
        async with open_replica(nats_server, cluster_name, tmp_path / "new" / "cluster.db") as (other, _):
            assert other.position == replica.position
    assert devices_in(tmp_path / "new" / "cluster.db") == (KILLS + 1) * (ROWS // KILLS)
    async with open_cluster(nats_server.url, cluster_name) as cluster:
        files = await cluster.jetstream.object_store(cluster.stream("FILES"))
        names = [info.name for info in await files.list(ignore_deletes=True) if info.name.startswith("store-")]
        meta = await read_meta(cluster)
        assert meta is not None
        assert names == [meta.snapshot]
    assert left_over(home) == []
