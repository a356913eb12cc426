# ruff: noqa: ASYNC221, ASYNC240 - these tests prepare files and processes between awaits, nothing else runs

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from microclaw.errors import StoreError
from microclaw.host.store.database import Database
from microclaw.host.store.inbox import InboxTable
from microclaw.host.store.journal import Journal
from microclaw.host.store.schema import BASE, STEPS, VERSION
from microclaw.programs.changes.change_log import ChangeLog

TAKE = (
    "import os, sys; from pathlib import Path; from microclaw.host.store.sqlite_file import take_lock; "
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


async def test_another_process_is_refused(store_path: Path) -> None:
    async with Database.open(store_path):
        run = subprocess.run([sys.executable, "-c", TAKE, str(store_path)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert f"process {os.getpid()}" in run.stderr


def bytes_of(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def of_sql(statement: str) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(statement)

    return make


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:8192] = b"\xa5" * 4096
    path.write_bytes(data)


def garbled(path: Path) -> None:
    """A word of its schema is no UTF-8, nor is the text of the error that has it."""
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATE \xf1ABLE"))


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        Path.mkdir,
        *map(bytes_of, (b"", b"no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000)),
        lambda path: path.with_name("store.db-wal").write_bytes(b"writes without their store"),
    ],
)
async def test_what_is_no_store_is_refused_and_kept(store_path: Path, make: Callable[[Path], object]) -> None:
    store_path.parent.mkdir()
    make(store_path)
    before = {path: path.read_bytes() for path in store_path.parent.iterdir() if path.is_file()}
    await refused(store_path)
    assert store_path.exists() == (store_path.name in {path.name for path in before} or not before)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (damaged, "damaged"),
        (garbled, "cannot be opened"),
        (of_sql(f"PRAGMA user_version = {VERSION + 1}"), f"version {VERSION + 1}"),
        (of_sql(f"PRAGMA user_version = {BASE - 1}"), "too old"),
    ],
)
async def test_a_store_that_cannot_be_used_is_refused_and_kept(
    store_path: Path, change: Callable[[Path], object], text: str
) -> None:
    await open_once(store_path)
    change(store_path)
    before = store_path.read_bytes()
    assert text in str(await refused(store_path))
    assert store_path.read_bytes() == before


async def test_another_programs_database_is_left_alone(store_path: Path) -> None:
    store_path.parent.mkdir()
    of_sql("CREATE TABLE theirs (x)")(store_path)
    await refused(store_path)
    assert list(shape_of(store_path)) == ["theirs", "strict"]


def shape_of(path: Path) -> dict[str, object]:
    """Every table and index of a store, its columns, keys and references, whatever words made them."""
    with closing(sqlite3.connect(path)) as c:
        names = c.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
        about = ("table_xinfo", "foreign_key_list"), ("index_xinfo",)
        return {
            name: [c.execute(f"PRAGMA {pragma}({name})").fetchall() for pragma in about[kind == "index"]]
            for kind, name in names
        } | {"strict": c.execute("SELECT name, strict, wr FROM pragma_table_list ORDER BY 1").fetchall()}


async def test_a_home_of_0_1_0_opens_with_todays_tables_and_a_message_that_had_joined_a_turn_waits_for_its_own(
    store_path: Path,
) -> None:
    fresh = store_path.with_name("fresh.db")
    await open_once(fresh)
    with closing(sqlite3.connect(store_path)) as connection:
        connection.executescript((Path(__file__).parents[2] / "stories/home-39.sql").read_text())
        words = "INSERT INTO inbox VALUES (?, 'tg', '1', NULL, 'owner', NULL, ?, 'person', 1, ?, 1, ?, NULL)"
        connection.executemany(words, [(7, "first", "waiting", None), (8, "and this", "joined", 7)])
        reply = json.dumps({"kind": "reply", "reply": {"text": '"kind":"joined"'}}, separators=(",", ":"))
        rows = [(7, 0, reply), (7, 1, '{"kind":"joined","message_id":8}')]
        connection.executemany("INSERT INTO turn_rows VALUES (?, ?, ?)", rows)
        connection.commit()
    async with Database.open(store_path) as database:
        [app] = await ChangeLog(database).desired("d-240f0068")
        assert (app.name, app.pins) == ("blink", (10,))
        waiting = await InboxTable(database, lambda: 1).unanswered()
        assert [message.inbound.text for message in waiting] == ["first", "and this"]
        assert [row.position for row in await Journal(database, lambda: 1).rows(7)] == [0]
    assert shape_of(store_path) == shape_of(fresh)


async def test_a_failed_step_changes_nothing_and_a_next_one_is_taken_once(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_once(store_path)
    later = ("CREATE TABLE later (x INTEGER) STRICT", "INSERT INTO later VALUES (7)")
    monkeypatch.setattr("microclaw.host.store.sqlite_file.VERSION", VERSION + 1)
    monkeypatch.setattr("microclaw.host.store.sqlite_file.STEPS", (*STEPS, (later[0], "nonsense")))
    before = shape_of(store_path)
    await refused(store_path)
    assert shape_of(store_path) == before
    monkeypatch.setattr("microclaw.host.store.sqlite_file.STEPS", (*STEPS, later))
    for _ in range(2):
        async with Database.open(store_path) as database:
            assert await database.read(lambda c: c.execute("SELECT x FROM later").fetchall()) == [(7,)]


async def test_half_built_store_of_a_crash_is_begun_again(store_path: Path) -> None:
    store_path.parent.mkdir()
    store_path.with_name("store.db.new").write_bytes(b"half")
    await open_once(store_path)
    assert not store_path.with_name("store.db.new").exists()
