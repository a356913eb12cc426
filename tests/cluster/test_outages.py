"""The database is away, frozen, lost in the middle of a commit: nothing acknowledged is lost, and all goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from tests.cluster.hosts import WholeHost, wire_to
from tests.link_server.scripted import ScriptedDevice
from tests.postgres import USER, PostgresServer, running_server
from tests.store.two_hosts import until

from microclaw.devices.calls import GpioSet
from microclaw.errors import ConfigError, StoreError, StoreUnreachable
from microclaw.operations.connection import HostError
from microclaw.store import postgres as module
from microclaw.store.postgres import SharedDatabase, make_tables
from microclaw.store.postgres_connection import PostgresConnection
from microclaw.store.sql import Sql
from microclaw.wire.link.messages import Event, Notify


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One of this test's own: it is ended. What it acknowledged survives that."""
    with TemporaryDirectory(prefix="microclaw-postgres-") as folder, running_server(Path(folder), durable=True) as made:
        yield made


@pytest.fixture
async def database(server: PostgresServer) -> AsyncIterator[SharedDatabase]:
    url = server.new_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE done (n INTEGER PRIMARY KEY)")
    async with SharedDatabase.opened(url, "a") as database:
        yield database


async def add(database: SharedDatabase, number: int) -> None:
    def work(sql: Sql) -> None:
        sql.execute("INSERT INTO done VALUES (?)", (number,))

    await database.write(work)


async def numbers(database: SharedDatabase) -> list[int]:
    return await database.read(lambda sql: [n for (n,) in sql.execute("SELECT n FROM done ORDER BY n").fetchall()])


async def test_a_frozen_database_holds_nobody_up_for_ever(server: PostgresServer, database: SharedDatabase) -> None:
    await add(database, 1)
    server.freeze()
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnreachable):
            await database.aside("SELECT 1")
        assert time.monotonic() - began < 2 * module.ASK_S
        waiting = asyncio.create_task(add(database, 2))
        await asyncio.wait((waiting,), timeout=1.0)
        assert not waiting.done()
    finally:
        server.freeze(over=True)
    await asyncio.wait_for(waiting, 60)
    assert await numbers(database) == [1, 2]


def test_a_commit_that_the_server_did_not_survive_is_not_taken_for_anothers(server: PostgresServer) -> None:
    """A server that was killed gives the number of a transaction of which nothing was written to the next one."""
    url = server.new_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE done (n INTEGER PRIMARY KEY)")
    for number in range(4):
        with (
            closing(PostgresConnection(url, "a", writes=True)) as killed,
            closing(PostgresConnection(url, "b", writes=True)) as other,
        ):
            killed.begin()
            assert killed.execute("INSERT INTO done VALUES (?)", (number,)).rowcount == 1
            server.kill()
            server.start()
            other.begin()
            other.execute("INSERT INTO done VALUES (?)", (10 + number,))
            other.commit()
            with pytest.raises(psycopg.OperationalError):
                killed.commit()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM done ORDER BY n").fetchall() == [(n,) for n in range(10, 14)]


async def test_a_statement_that_fails_ends_neither_the_reads_nor_the_writes(database: SharedDatabase) -> None:
    for harm, mend in (
        ("UPDATE store_version SET version = version + 1", "UPDATE store_version SET version = version - 1"),
        ("ALTER TABLE store_version RENAME TO away", "ALTER TABLE away RENAME TO store_version"),
    ):
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute(harm)
            with pytest.raises(StoreError):
                await database.read(lambda sql: sql.execute("SELECT nothing"))
            assert await numbers(database) == []
            with pytest.raises(StoreError):
                await asyncio.gather(*(add(database, number) for number in range(3)))
            connection.execute(mend)
    await add(database, 1)
    assert await numbers(database) == [1]


@pytest.mark.parametrize("committed", [True, False])
async def test_a_commit_whose_answer_was_lost_is_looked_up(
    database: SharedDatabase, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """The wire is cut once the commit took place, or before it was sent."""
    execute, loop, lost = psycopg.ClientCursor.execute, asyncio.get_running_loop(), list[Any]()
    async with wire_to(database.url) as wire, SharedDatabase.opened(wire.url, "b") as cut_off:

        async def cut() -> None:
            wire.cut()
            await wire.mend()

        def lossy(self: Any, query: Any, *values: Any) -> Any:
            if not lost and str(query).endswith("COMMIT"):
                lost.append(query)
                if committed:
                    execute(self, query)
                asyncio.run_coroutine_threadsafe(cut(), loop).result(60)
            return execute(self, query, *values)

        await add(cut_off, 1)
        monkeypatch.setattr(psycopg.ClientCursor, "execute", lossy)
        await add(cut_off, 2)
        assert lost
    assert await numbers(database) == [1, 2], "once"


async def test_a_start_while_the_database_is_away_waits_for_it(server: PostgresServer) -> None:
    url = server.new_database()
    server.stop()
    starting = asyncio.create_task(asyncio.to_thread(make_tables, url, "a"))
    await asyncio.wait((starting,), timeout=1.5)
    assert not starting.done()
    server.start()
    await starting


def test_a_start_with_a_wrong_password_or_database_is_refused_at_once(server: PostgresServer) -> None:
    url = server.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'right'")
        hba = server.data / "pg_hba.conf"
        hba.write_text("host all guest 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        connection.execute("SELECT pg_reload_conf()")
    began = time.monotonic()
    guest = url.replace(USER, "guest", 1)
    for wrong in (guest, guest.replace("guest", "guest:wrong"), url + "x"):
        with pytest.raises(ConfigError):
            make_tables(wrong, "a")
    assert time.monotonic() - began < module.START_S / 4


async def test_a_device_stays_connected_while_its_host_has_no_database(
    east: WholeHost, west: WholeHost, lamp: ScriptedDevice
) -> None:
    async with lamp.connected():
        await until(west.online)
        east.wire.cut()
        await east.until("/v1/cluster", lambda facts: not facts["cluster"]["member"])
        assert await east.device().call(GpioSet(4, 1), timeout_s=60)
        with pytest.raises(HostError):
            await east.ask("/v1/devices/lamp/notify", {"text": "tea is ready"})
        await lamp.send(Event("tick", {"n": 1}))
        await asyncio.sleep(0.5)
        assert lamp.outbox.rows, "nothing is acked that is not written"
        await east.wire.mend()
        await until(lambda: not lamp.outbox.rows)
        await east.ask("/v1/devices/lamp/notify", {"text": "tea is cold"})
        assert (await lamp.next(Notify)).text == "tea is cold"
        assert lamp.closed is None
