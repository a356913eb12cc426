"""The store that hosts share: one order for all, each write once, and the same content in every copy."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.cluster.nats_servers import NatsServer
from tests.cluster.stores import open_cluster, open_replica

from microclaw.cluster import shared_store
from microclaw.cluster.shared_store import take_snapshot
from microclaw.store.replica import Replica
from microclaw.store.schedules import NewSchedule, ScheduleTable

PATIENCE_S = 60
OpenHost: TypeAlias = Callable[[str], Any]
SCHEDULE = NewSchedule("daily", "x", "{}", "{}", "p", "cli", "c", None, "run", "read", 1)


@pytest.fixture
async def host(nats_server: NatsServer, cluster_name: str, tmp_path: Path) -> AsyncIterator[OpenHost]:
    """Opens a host's copy by its name, until the test ends."""
    async with AsyncExitStack() as stack:

        async def opened(name: str) -> Replica:
            path = tmp_path / name / "cluster.db"
            replica, _ = await stack.enter_async_context(open_replica(nats_server, cluster_name, path, host=name))
            return replica

        yield opened


async def caught_up(*replicas: Replica) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len({replica.position for replica in replicas}) > 1:  # noqa: ASYNC110 - another host's, not an event
            await asyncio.sleep(0.01)


def content(path: Path) -> list[str]:
    """Every row of every table with its row number, those of indexes for words too."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [line for name in sorted(names) for line in _rows(connection, name)] + list(connection.iterdump())


def _rows(connection: sqlite3.Connection, name: str) -> Iterator[str]:
    try:
        rows = connection.execute(f"SELECT rowid, * FROM {name} ORDER BY rowid").fetchall()
    except sqlite3.OperationalError:  # of a table without row numbers: iterdump has it
        return
    yield from (f"{name} {row}" for row in rows)


def add_device(connection: sqlite3.Connection, name: str) -> None:
    connection.execute(
        "INSERT INTO devices (device_id, name, board_id, labels, created_ms) VALUES (?1, ?1, 'b', '[]', 0)", (name,)
    )


def devices(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT device_id FROM devices ORDER BY rowid")]


async def test_a_claim_is_given_to_one_of_two_hosts(host: OpenHost) -> None:
    first, second = await host("a"), await host("b")
    number = await ScheduleTable(first).add(SCHEDULE, 0)
    await caught_up(first, second)

    async def claims(replica: Replica) -> list[bool]:
        table = ScheduleTable(replica)
        return [await table.claim(number, due, next_ms=due + 1, woke=False, now_ms=0) for due in range(1, 41)]

    mine, others = await asyncio.gather(claims(first), claims(second))
    assert [one + other for one, other in zip(mine, others, strict=True)].count(2) == 0
    await caught_up(first, second)
    runs = {run.due_ms: run.host for run in await ScheduleTable(first).runs(number, 100)}
    assert runs == {due: "a" if mine[due - 1] else "b" for due in range(1, 41) if mine[due - 1] or others[due - 1]}


async def test_a_storm_of_three_hosts_loses_no_write_and_leaves_equal_copies(host: OpenHost) -> None:
    replicas = [await host(name) for name in "abc"]
    await replicas[0].write(lambda c: c.execute("CREATE TABLE counter (n INTEGER NOT NULL) STRICT").rowcount)
    await replicas[0].write(lambda c: c.execute("INSERT INTO counter VALUES (0)").rowcount)
    await caught_up(*replicas)

    def add_one(connection: sqlite3.Connection) -> int:
        (number,) = connection.execute("SELECT n FROM counter").fetchone()
        connection.execute("UPDATE counter SET n = ?", (number + 1,))
        return int(number) + 1

    async def many(replica: Replica) -> list[int]:
        return [number for _ in range(20) for number in await asyncio.gather(*(replica.write(add_one),) * 1)]

    given = [number for numbers in await asyncio.gather(*map(many, replicas)) for number in numbers]
    assert sorted(given) == list(range(1, 61))
    await caught_up(*replicas)
    assert content(replicas[0].path) == content(replicas[1].path) == content(replicas[2].path)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - another host's, not an event
            await asyncio.sleep(0.01)


async def test_a_write_of_twenty_megabytes_reaches_the_others_and_leaves_nothing_behind(
    host: OpenHost, nats_server: NatsServer, cluster_name: str
) -> None:
    first, second = await host("a"), await host("b")
    body = random.Random(1).randbytes(20 << 20)
    image = "INSERT INTO images (sha256, code, meta, created_ms) VALUES ('s', ?, '{}', 0)"
    await first.write(lambda c: c.execute(image, (body,)).rowcount)
    await caught_up(first, second)
    assert await second.read(lambda c: c.execute("SELECT code FROM images").fetchone()) == (body,)

    async with open_cluster(nats_server.url, cluster_name) as cluster:
        files = await cluster.jetstream.object_store(cluster.stream("FILES"))
        assert any(info.name.startswith("entry-") for info in await files.list(ignore_deletes=True))
        await take_snapshot(cluster, first.path, kept=0)
        assert [info.name[:6] for info in await files.list()] == ["store-"]
    third = await host("c")  # of the snapshot
    assert await third.read(lambda c: c.execute("SELECT length(code) FROM images").fetchone()) == (20 << 20,)


async def test_a_host_that_was_away_for_long_comes_back_by_the_snapshot(
    host: OpenHost, nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    first = await host("a")
    path = tmp_path / "b" / "cluster.db"
    async with open_replica(nats_server, cluster_name, path, host="b") as (second, _):
        await second.write(lambda c: add_device(c, "before"))
    for number in range(5):
        await first.write(lambda c, name=f"d{number}": add_device(c, name))
    async with open_cluster(nats_server.url, cluster_name) as cluster:
        await take_snapshot(cluster, first.path, kept=0)
    await first.write(lambda c: add_device(c, "after"))
    async with open_replica(nats_server, cluster_name, path, host="b") as (second, _):
        assert await second.read(devices) == await first.read(devices)
        assert content(second.path) == content(first.path)


async def test_what_was_erased_is_in_no_copy_log_or_snapshot(
    host: OpenHost, nats_server: NatsServer, cluster_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_store, "CHECK_S", 0.1)
    first, second = await host("a"), await host("b")
    secret = "s3cret-words" * 50
    await first.write(lambda c: add_device(c, secret))
    await first.write(lambda c: c.execute("DELETE FROM devices").rowcount)
    await first.rewrite()
    await until(lambda: not first.is_rewritten)
    async with open_cluster(nats_server.url, cluster_name) as cluster:
        info = await cluster.jetstream.stream_info(cluster.stream("LOG"))
        assert info.state.messages == 0
    await caught_up(first, second)
    assert secret.encode() not in first.path.read_bytes() + second.path.read_bytes()
