# ruff: noqa: ASYNC221, ASYNC240 - these tests prepare files and processes between awaits, nothing else runs

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from microclaw.errors import StoreError
from microclaw.store.apps import AppTable
from microclaw.store.database import Database
from microclaw.store.migrations import MIGRATIONS
from microclaw.store.people import PeopleTable, PersonRow, PersonTokenRow, PersonTokenTable
from microclaw.store.sqlite_file import take_lock

TAKE = (
    "import os, sys; from pathlib import Path; from microclaw.store.sqlite_file import take_lock; "
    "take_lock(Path(sys.argv[1]))"
)


async def open_once(path: Path) -> None:
    async with Database.open(path):
        pass


async def refused(path: Path) -> StoreError:
    with pytest.raises(StoreError) as error:
        await open_once(path)
    assert error.value.next_step is not None
    return error.value


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_store_and_its_folder_are_the_owners_alone(store_path: Path) -> None:
    previous = os.umask(0)
    try:
        async with Database.open(store_path) as database:
            await database.write(lambda c: c.execute("DELETE FROM devices").rowcount)
            assert mode(store_path.parent) == 0o700
            assert {mode(file) for file in store_path.parent.iterdir()} == {0o600}
            assert len(list(store_path.parent.iterdir())) >= 3
    finally:
        os.umask(previous)


async def test_second_owner_is_refused_and_told_who_has_it(store_path: Path) -> None:
    async with Database.open(store_path):
        error = await refused(store_path)
        assert f"process {os.getpid()}" in str(error)
    await open_once(store_path)


async def test_another_process_is_refused(store_path: Path) -> None:
    async with Database.open(store_path):
        run = subprocess.run([sys.executable, "-c", TAKE, str(store_path)], capture_output=True, text=True, timeout=20)
    assert run.returncode == 1
    assert f"belongs to a running host (process {os.getpid()})" in run.stderr


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
async def test_what_is_no_file_in_the_stores_place_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "microclaw.db")
    error = await refused(tmp_path / "microclaw.db")
    assert "is no file" in error.message
    assert "move away" in str(error.next_step)


def test_lock_left_by_a_dead_process_holds_nobody_up(store_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", f"{TAKE}; os._exit(9)", str(store_path)], timeout=20).returncode == 9
    os.close(take_lock(store_path))


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_broken_file_is_refused_and_kept(store_path: Path, content: bytes) -> None:
    store_path.parent.mkdir()
    store_path.write_bytes(content)
    await refused(store_path)
    assert store_path.read_bytes() == content


async def test_damaged_page_is_found(store_path: Path) -> None:
    await open_once(store_path)
    data = bytearray(store_path.read_bytes())
    data[4096:8192] = b"\xa5" * 4096
    store_path.write_bytes(data)
    assert "damaged" in str(await refused(store_path))


async def test_truncated_file_is_refused(store_path: Path) -> None:
    await open_once(store_path)
    os.truncate(store_path, store_path.stat().st_size // 2)
    await refused(store_path)


async def test_missing_store_beside_its_log_of_writes_is_no_new_store(store_path: Path) -> None:
    store_path.parent.mkdir()
    store_path.with_name("store.db-wal").write_bytes(b"writes")
    assert "is missing" in str(await refused(store_path))
    assert not store_path.exists()


async def test_another_programs_database_is_left_alone(store_path: Path) -> None:
    store_path.parent.mkdir()
    with closing(sqlite3.connect(store_path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    assert "not a microclaw store" in str(await refused(store_path))
    with closing(sqlite3.connect(store_path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


async def test_store_of_a_newer_version_is_refused(store_path: Path) -> None:
    await open_once(store_path)
    with closing(sqlite3.connect(store_path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    assert f"version {len(MIGRATIONS) + 1}" in str(await refused(store_path))


async def test_store_of_an_older_version_is_brought_forward(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await open_once(store_path)
    later = (*MIGRATIONS, ("CREATE TABLE later (x INTEGER) STRICT", "INSERT INTO later VALUES (7)"))
    monkeypatch.setattr("microclaw.store.sqlite_file.MIGRATIONS", later)
    for _ in range(2):
        async with Database.open(store_path) as database:
            assert await database.read(lambda c: c.execute("SELECT x FROM later").fetchall()) == [(7,)]


async def test_changes_of_a_store_from_before_turns_stand_alone(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = next(n for n, steps in enumerate(MIGRATIONS) if any("ADD COLUMN turn" in step for step in steps))
    with monkeypatch.context() as patch:
        patch.setattr("microclaw.store.sqlite_file.MIGRATIONS", MIGRATIONS[:before])
        async with Database.open(store_path) as database:
            columns = "(at_ms, device_id, kind, summary, forward, state)"
            row = f"INSERT INTO changes {columns} VALUES (1, 'd', 'k', 's', '{{}}', 'done')"
            await database.write(lambda c: c.execute(row).rowcount)
    async with Database.open(store_path) as database:
        [change] = await AppTable(database).changes()
        assert (change.summary, change.turn) == ("s", None)


async def test_people_tokens_and_addresses_of_before_roles_and_scopes_are_kept(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = next(n for n, steps in enumerate(MIGRATIONS) if any("read-only" in step for step in steps))
    with monkeypatch.context() as patch:
        patch.setattr("microclaw.store.sqlite_file.MIGRATIONS", MIGRATIONS[:before])
        async with Database.open(store_path) as database:
            rows = (
                "people VALUES ('p-1', 'Ada', 'guest', 7)",
                "person_addresses VALUES ('telegram', '42', 'p-1', 8)",
                f"person_tokens VALUES ('t-1', 'phone', 'p-1', x'{'ab' * 32}', 9, NULL, 10)",
            )
            await database.write(lambda c: len([c.execute(f"INSERT INTO {row}") for row in rows]))
    async with Database.open(store_path) as database:
        assert await PeopleTable(database).list() == (PersonRow("p-1", "Ada", "guest", 7, (("telegram", "42"),)),)
        (token,) = await PersonTokenTable(database).list()
        assert token == PersonTokenRow("t-1", "phone", "p-1", b"\xab" * 32, 9, None, 10, "all")
        await PeopleTable(database).delete("p-1")
        assert await PersonTokenTable(database).list() == ()


async def test_failed_migration_changes_nothing(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await open_once(store_path)
    with monkeypatch.context() as patch:
        broken = (*MIGRATIONS, ("CREATE TABLE later (x INTEGER) STRICT", "nonsense"))
        patch.setattr("microclaw.store.sqlite_file.MIGRATIONS", broken)
        await refused(store_path)
    async with Database.open(store_path) as database:
        assert await database.read(lambda c: c.execute("PRAGMA user_version").fetchone()) == (len(MIGRATIONS),)
        assert (
            await database.read(lambda c: c.execute("SELECT 1 FROM sqlite_master WHERE name='later'").fetchall()) == []
        )


async def test_half_built_store_of_a_crash_is_begun_again(store_path: Path) -> None:
    store_path.parent.mkdir()
    store_path.with_name("store.db.new").write_bytes(b"half")
    await open_once(store_path)
    assert not store_path.with_name("store.db.new").exists()


async def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    error = await refused(tmp_path / "file" / "store.db")
    assert str(tmp_path / "file") in str(error)


async def test_store_that_is_a_folder_is_refused(store_path: Path) -> None:
    store_path.mkdir(parents=True)
    await refused(store_path)
