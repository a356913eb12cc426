"""`microclaw migrate`: a host's store into a cluster and back, checked before anything is changed."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from microclaw.cluster.store_meta import read_meta
from tests.cluster.nats_servers import NatsServer
from tests.cluster.stores import open_cluster, open_replica

from microclaw.cli.main import main
from microclaw.events import Inbound
from microclaw.store.database import Database
from microclaw.store.devices import DeviceRow, DeviceTable
from microclaw.store.inbox import InboxTable
from microclaw.store.sqlite_file import take_lock

R = TypeVar("R")
MESSAGE = Inbound("cli", "c", "hello", "p")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a host with two devices and a message that waits."""
    home = tmp_path / "home"

    async def fill() -> None:
        async with Database.open(home / "microclaw.db") as database:
            for name in ("kitchen", "hall"):
                await DeviceTable(database).put(DeviceRow(name, name, "b", (), (f"link:{name}",), 0))
            await InboxTable(database, lambda: 1).add(MESSAGE)

    apart(fill)
    return home


def apart(work: Callable[[], Awaitable[R]]) -> R:
    """Run it in a loop of its own thread: the command line has one, too."""
    results: list[R] = []

    async def run() -> None:
        results.append(await work())

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join()
    return results[0]


def names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT device_id FROM devices ORDER BY device_id")]


def microclaw(home: Path, *words: str) -> int:
    return main(["--home", str(home), *words])


def test_a_store_goes_into_a_new_cluster_and_its_newest_content_back(
    home: Path, tmp_path: Path, nats_server: NatsServer, cluster_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ("migrate", "--to", nats_server.url, "--name", cluster_name)
    assert microclaw(home, *to, "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["dry_run"] is True
    assert (told["rows"]["devices"], told["rows"]["faces"], told["rows"]["inbox"]) == (2, 2, 1)

    async def is_made() -> bool:
        async with open_cluster(nats_server.url, cluster_name) as cluster:
            return await read_meta(cluster) is not None

    assert not apart(is_made)
    assert microclaw(home, *to) == 0
    assert "moved" in capsys.readouterr().out
    assert microclaw(home, *to) != 0
    assert apart(is_made)

    async def go_on() -> None:
        async with open_replica(nats_server, cluster_name, tmp_path / "a" / "cluster.db", host="a") as (first, _):
            async with open_replica(nats_server, cluster_name, tmp_path / "b" / "cluster.db", host="b") as (second, _):
                await DeviceTable(second).put(DeviceRow("garden", "garden", "b", (), (), 0))
                await InboxTable(second, lambda: 1).add(MESSAGE)
            assert len(await DeviceTable(first).list()) >= 2

    apart(go_on)

    back = ("migrate", "--back", "--nats", nats_server.url, "--name", cluster_name)
    assert microclaw(home, *back) != 0
    assert "--replace" in capsys.readouterr().err
    assert names(home / "microclaw.db") == ["hall", "kitchen"]
    assert microclaw(home, *back, "--dry-run") == 0
    assert "devices" in capsys.readouterr().out
    assert names(home / "microclaw.db") == ["hall", "kitchen"]
    assert microclaw(home, *back, "--replace") == 0
    assert names(home / "microclaw.db") == ["garden", "hall", "kitchen"]
    assert names(home / "microclaw.db.replaced") == ["hall", "kitchen"]

    async def as_before() -> int:
        async with Database.open(home / "microclaw.db") as database:
            return len(await InboxTable(database, lambda: 1).unanswered())

    assert apart(as_before) == 2  # none is another host's
    assert microclaw(home, *back, "--replace") == 0
    assert names(home / "microclaw.db.replaced") == ["hall", "kitchen"], "the store of before the cluster"
    assert names(home / "microclaw.db.replaced-2") == ["garden", "hall", "kitchen"]
    assert sorted(path.name for path in home.iterdir() if ".back" in path.name or ".migrating" in path.name) == []


def test_a_running_host_is_refused(home: Path, nats_server: NatsServer, capsys: pytest.CaptureFixture[str]) -> None:
    lock = take_lock(home / "microclaw.db")
    try:
        assert microclaw(home, "migrate", "--to", nats_server.url) != 0
    finally:
        os.close(lock)


def test_a_cluster_whose_log_was_deleted_is_made_anew_from_a_hosts_copy(
    tmp_path: Path, nats_server: NatsServer, cluster_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    homes = [tmp_path / name for name in ("a", "b")]

    async def begin() -> None:
        async with open_replica(nats_server, cluster_name, homes[0] / "cluster.db", host="a") as (first, _):
            await DeviceTable(first).put(DeviceRow("garden", "garden", "b", (), (), 0))
        async with open_replica(nats_server, cluster_name, homes[1] / "cluster.db", host="b"):
            pass
        async with open_cluster(nats_server.url, cluster_name) as cluster:
            await cluster.jetstream.delete_stream(cluster.stream("LOG"))

    apart(begin)
    anew = ("migrate", "--to", nats_server.url, "--name", cluster_name)
    assert microclaw(homes[0], *anew) != 0
    said = capsys.readouterr().err
    assert "--replace" in said
    assert microclaw(homes[0], *anew, "--replace") == 0

    async def joined(home: Path) -> list[str]:
        async with open_replica(nats_server, cluster_name, home / "cluster.db", host="x") as (replica, _):
            await DeviceTable(replica).put(DeviceRow("hall", "hall", "b", (), (), 0))
            return [row.device_id for row in await DeviceTable(replica).list()]

    assert apart(lambda: joined(homes[0])) == ["garden", "hall"]
    assert apart(lambda: joined(tmp_path / "c")) == ["garden", "hall"]
    assert microclaw(homes[1], *anew, "--replace") != 0  # its copy is of the cluster that was
    assert apart(lambda: joined(homes[1])) == ["garden", "hall"]  # that copy gives way, and is kept
    assert names(homes[1] / "cluster.db.replaced") == ["garden"]
    assert apart(lambda: joined(homes[1])) == ["garden", "hall"]
    assert not (homes[1] / "cluster.db.replaced-2").exists()


def test_a_snapshot_of_a_host_that_runs_is_taken_and_an_old_copy_takes_none(
    tmp_path: Path, nats_server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "microclaw"  # the command has no other
    words = ("cluster", "snapshot", "--nats", nats_server.url)

    async def run() -> int:
        async with open_replica(nats_server, name, tmp_path / "b" / "cluster.db", host="b"):
            pass
        async with open_replica(nats_server, name, tmp_path / "a" / "cluster.db", host="a") as (replica, _):
            await DeviceTable(replica).put(DeviceRow("hall", "hall", "b", (), (), 0))
            return await asyncio.to_thread(microclaw, tmp_path / "a", *words)

    assert apart(run) == 0
    assert microclaw(tmp_path / "b", *words) != 0
