"""The writer, its queue and its snapshots; a part that follows another host's changes."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from tests.host.store.two_hosts import until
from tests.postgres import USER, PostgresServer

from microclaw.errors import Overloaded, StoreError, StoreUnwritable, UnknownName
from microclaw.host.store.database import Database
from microclaw.host.store.postgres import Follower, SharedDatabase
from microclaw.host.store.sql import Sql


def add(connection: Sql, number: int) -> int:
    connection.execute(
        "INSERT INTO devices (device_id, name, board_id, labels, created_ms) VALUES (?1, ?1, 'b', '[]', 0)",
        (str(number),),
    )
    return number


def adding(number: int) -> Callable[[Sql], int]:
    return lambda connection: add(connection, number)


def count(connection: Sql) -> int:
    number: int = connection.execute("SELECT count(*) FROM devices").fetchone()[0]
    return number


@asynccontextmanager
async def busy(database: Database) -> AsyncIterator[None]:
    """The writer is at work all the time: what it is given meanwhile waits."""
    started = threading.Event()
    go = threading.Event()

    def block(_: Sql) -> None:
        started.set()
        assert go.wait(60)

    async with asyncio.TaskGroup() as group:
        group.create_task(database.write(block))
        await asyncio.to_thread(started.wait, 60)
        try:
            yield
        finally:
            go.set()


async def test_failed_write_undoes_its_own_statements_only(database: Database) -> None:
    def fail(connection: Sql) -> None:
        add(connection, 1000)
        raise UnknownName("on purpose")

    results = await asyncio.gather(
        *(database.write(fail if n == 5 else adding(n)) for n in range(10)), return_exceptions=True
    )
    assert [type(r).__name__ for r in results].count("UnknownName") == 1
    assert await database.read(count) == 9


async def test_reads_see_one_snapshot(database: Database) -> None:
    entered = threading.Event()
    go = threading.Event()

    def twice(connection: Sql) -> tuple[int, int]:
        before = count(connection)
        entered.set()
        assert go.wait(60)
        return before, count(connection)

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(database.read(twice))
        await asyncio.to_thread(entered.wait, 60)
        await database.write(adding(1))
        go.set()
        assert await reading == (0, 0)
    assert await database.read(count) == 1


async def test_what_waits_is_on_the_disk_when_the_store_is_closed_and_nothing_later(store_path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        async with Database.open(store_path) as database:
            writes = [group.create_task(database.write(adding(n))) for n in range(300)]
            await asyncio.sleep(0)
            database.write_later(adding(300))
        assert [await write for write in writes] == list(range(300))
    for work in (database.write(count), database.read(count)):
        with pytest.raises(StoreError, match="closed"):
            await work
    async with Database.open(store_path) as database:
        assert await database.read(count) == 301


async def test_commit_that_fails_fails_its_writes_and_stores_nothing(database: Database) -> None:
    def orphan(connection: Sql) -> None:
        add(connection, 1)
        connection.execute("CREATE TABLE later (d TEXT REFERENCES devices DEFERRABLE INITIALLY DEFERRED)")
        connection.execute("INSERT INTO later VALUES ('nobody')")  # which shows only at the commit

    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        await database.write(orphan)
    assert await database.read(count) == 0
    assert await database.write(adding(1)) == 1


async def test_full_queue_refuses_more_work_and_a_cancelled_write_that_waits_does_not_happen(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microclaw.host.store.database.MAX_WAITING", 3)
    async with asyncio.TaskGroup() as group:
        async with busy(database):
            writes = [group.create_task(database.write(adding(n))) for n in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="3 jobs wait") as refused:
                await database.write(adding(9))
            assert refused.value.next_step is not None
            writes[1].cancel()
        assert (await writes[0], await writes[2]) == (0, 2)
    assert await database.read(count) == 2


async def test_refreshes_run_one_at_a_time_again_after_what_came_meanwhile_and_after_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = list[str]()
    may_end = asyncio.Event()

    async def refresh() -> None:
        begun.append("begin")
        await may_end.wait()
        if len(begun) == 1:
            raise OSError("a disk that is slow to wake")
        begun.append("end")

    follower = Follower(frozenset({"devices"}), refresh)
    follower.changed(frozenset({"devices"}))
    await until(lambda: begun)
    may_end.set()
    await until(lambda: len(begun) == 3)  # the failed one is done again
    assert caplog.records
    may_end.clear()
    follower.changed(frozenset({"devices"}))
    await until(lambda: len(begun) == 4)
    for _ in range(5):
        follower.changed(frozenset({"devices", "faces"}))
        follower.changed(frozenset({"people"}))
    may_end.set()
    await until(lambda: len(begun) == 7)
    assert begun == ["begin", *["begin", "end"] * 3]
    follower.task.cancel()


async def test_a_store_that_refuses_a_write_for_lack_of_rights_says_so_until_it_takes_one(
    postgres: PostgresServer,
) -> None:
    url = postgres.new_database()
    role = f"r{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as admin:

        def run(statement: str) -> None:
            admin.execute(f"{statement} {role}".encode())

        run("CREATE USER")
        run("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO")
        run("GRANT ALL ON ALL TABLES IN SCHEMA public TO")
        async with SharedDatabase.opened(url.replace(USER, role, 1), "a") as database:
            await database.write(adding(1))
            assert await database.write_error() is None
            run("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM")
            with pytest.raises(StoreUnwritable):
                await database.write(adding(2))
            assert isinstance(await database.write_error(), StoreUnwritable)
            run("GRANT ALL ON ALL TABLES IN SCHEMA public TO")
            async with asyncio.timeout(60):
                while await database.write_error() is not None:
                    pass
