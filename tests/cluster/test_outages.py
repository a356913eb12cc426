"""What a host does when NATS, the log or a disk fails: it refuses writes in words, reads on, and goes on afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from microclaw.cluster.connection import connected
from microclaw.cluster.nats_log import NatsLog, log_subject
from microclaw.cluster.shared_store import delete_cluster
from microclaw.cluster.snapshot_file import copy_store
from microclaw.store.replica import Replica
from nats.js.api import StreamConfig
from tests.cluster.nats_servers import NatsServer, one_server
from tests.cluster.stores import open_cluster, open_replica

from microclaw.cluster import connection, nats_log, stream_check
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.errors import ConfigError, StoreError, StoreUnreachable

PATIENCE_S = 60
NAME = "outages"
IMAGE = "INSERT INTO images (sha256, code, meta, created_ms) VALUES (?, ?, '{}', 0)"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """One of this test's own: it is killed."""
    with one_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def opened(server: NatsServer, tmp_path: Path) -> AsyncIterator[tuple[Replica, NatsLog]]:
    async with open_replica(server, NAME, tmp_path / "a" / "cluster.db", host="a") as opened:
        await opened[0].write(make_table)
        yield opened


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that finds no NATS is refused soon."""
    monkeypatch.setattr(nats_log, "COMMIT_S", 1.0)
    monkeypatch.setattr(stream_check, "SHORT_S", 1.0)


def make_table(connection: sqlite3.Connection) -> int:
    return connection.execute("CREATE TABLE done (n INTEGER PRIMARY KEY, host TEXT) STRICT").rowcount


def adding(number: int, host: str = "a") -> Callable[[sqlite3.Connection], int]:
    return lambda connection: connection.execute("INSERT INTO done VALUES (?, ?)", (number, host)).rowcount


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT n FROM done ORDER BY n")]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - another process', not an event
            await asyncio.sleep(0.02)


async def written(replica: Replica, number: int) -> None:
    """As soon as it can be."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await replica.write(adding(number))
                return
            except StoreError as exc:
                if "UNIQUE" in exc.message:  # the one before, of which nobody knew
                    return


@pytest.mark.usefixtures("soon")
async def test_without_nats_writes_are_refused_reads_go_on_and_all_goes_on_afterwards(
    server: NatsServer, opened: tuple[Replica, NatsLog]
) -> None:
    replica, _ = opened
    await replica.write(adding(1))
    server.kill()
    for number in (2, 3):
        with pytest.raises(StoreUnreachable) as refused:
            await replica.write(adding(number))
        assert refused.value.next_step
        assert await replica.read(numbers) == [1]
    server.start()
    await written(replica, 4)
    assert 4 in await replica.read(numbers)


@pytest.mark.usefixtures("soon")
async def test_a_log_deleted_by_hand_refuses_writes_in_words_and_reads_go_on(
    server: NatsServer, opened: tuple[Replica, NatsLog], caplog: pytest.LogCaptureFixture
) -> None:
    replica, _ = opened
    await replica.write(adding(1))
    async with open_cluster(server.url, NAME) as cluster:
        stream = cluster.stream("LOG")
        await cluster.jetstream.delete_stream(stream)
        with pytest.raises(StoreError):
            await replica.write(adding(2))
        await until(lambda: "somebody deleted" in caplog.text)
        assert await replica.read(numbers) == [1]

        # Another stream of that name is not the cluster's log, however many entries it has.
        await cluster.jetstream.add_stream(StreamConfig(name=stream, subjects=[log_subject(cluster)]))
        for _ in range(replica.position):
            await cluster.jetstream.publish(log_subject(cluster), b"no entry")
        await until(lambda: "another made under its name" in caplog.text)
        with pytest.raises(StoreError):
            await replica.write(adding(3))
        assert await replica.read(numbers) == [1]


@pytest.mark.usefixtures("soon")
async def test_a_log_that_was_set_back_is_refused(
    server: NatsServer, opened: tuple[Replica, NatsLog], tmp_path: Path
) -> None:
    replica, _ = opened
    await replica.write(adding(1))
    server.stop()
    shutil.copytree(server.folder / "data", tmp_path / "backup")
    server.start()
    await written(replica, 2)
    await written(replica, 3)
    server.stop()
    shutil.rmtree(server.folder / "data")
    shutil.copytree(tmp_path / "backup", server.folder / "data")
    server.start()

    async def refused() -> str:
        try:
            await replica.write(adding(4))
        except StoreError as exc:
            return exc.message
        return "written"

    async with asyncio.timeout(PATIENCE_S):
        while "NATS lost its disk" not in (said := await refused()):
            assert said != "written"
    assert await replica.read(numbers) == [1, 2, 3]
    # A new host cannot know, and writes on. Who has the lost entries never mixes them with the new ones.
    async with open_replica(server, NAME, tmp_path / "c" / "cluster.db", host="c") as (third, _):
        for number in range(10, 20):
            await third.write(adding(number, "c"))
        await refused()
        assert await replica.read(numbers) == [1, 2, 3]
        copy = tmp_path / "copy" / "cluster.db"
        copy.parent.mkdir()
        copy_store(replica.path, copy)
        with pytest.raises(StoreError):
            async with open_replica(server, NAME, copy, host="d"):
                pytest.fail("it joined")  # pragma: no cover


async def test_a_full_disk_of_the_host_keeps_what_others_wrote_for_later(
    server: NatsServer, opened: tuple[Replica, NatsLog], tmp_path: Path
) -> None:
    first, _ = opened
    body = random.Random(1).randbytes(300_000)
    async with open_replica(server, NAME, tmp_path / "b" / "cluster.db", host="b") as (second, _):
        with no_file_larger_than(second.path.stat().st_size // 2):
            with pytest.raises(StoreError):
                await second.write(lambda c: c.execute(IMAGE, ("b", body)).rowcount)
            assert await second.read(numbers) == []
        await first.write(lambda c: c.execute(IMAGE, ("a", body)).rowcount)
        await until(lambda: second.position == first.position)
        await written(second, 1)
        for replica in (first, second):
            await until(lambda: first.position == second.position)
            assert ("a",) in await replica.read(lambda c: c.execute("SELECT sha256 FROM images").fetchall())
            assert await replica.read(numbers) == [1]


async def test_a_copy_of_another_cluster_of_that_name_is_refused(server: NatsServer, tmp_path: Path) -> None:
    path = tmp_path / "a" / "cluster.db"
    async with open_replica(server, NAME, path):
        pass
    async with open_cluster(server.url, NAME) as cluster:
        await delete_cluster(cluster)
    with pytest.raises(ConfigError):
        async with open_replica(server, NAME, path):
            pytest.fail("it joined")  # pragma: no cover
    async with open_replica(server, NAME, tmp_path / "b" / "cluster.db"):
        pass
    with pytest.raises(ConfigError):
        async with open_replica(server, NAME, path):
            pytest.fail("it joined")  # pragma: no cover


@contextlib.contextmanager
def no_file_larger_than(size_bytes: int) -> Iterator[None]:
    """As a full disk, for this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_host_that_stops_while_nats_is_away_ends_in_order(
    nats_server: NatsServer, cluster_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits to be sent is for nobody."""
    monkeypatch.setattr(connection, "RECONNECT_S", 0.01)

    async def stopped() -> None:
        async with connected(ClusterSettings(nats=nats_server.url, name=cluster_name), name="h") as cluster:
            nats_server.kill()
            await until(lambda: not cluster.connected)
            await cluster.client.publish("mc.somewhere", b"waits")
            assert cluster.client.pending_data_size > 0

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(stopped())
    finally:
        nats_server.start()
