"""`microclaw backup migrate`: a host's store into a shared database and back, checked before anything is changed."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from tests.cluster.hosts import host_in
from tests.postgres import PostgresServer

from microclaw.cli.main import main
from microclaw.events import Inbound
from microclaw.store.database import Database
from microclaw.store.devices import DeviceRow, DeviceTable
from microclaw.store.inbox import InboxTable
from microclaw.store.sqlite_file import take_lock

MESSAGE = Inbound("cli", "c", "hello", "p")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a host with two devices and a message that waits."""
    home = tmp_path / "home"

    async def fill() -> None:
        async with Database.open(home / "microclaw.db") as database:
            for name in ("kitchen", "hall"):
                await DeviceTable(database).put(DeviceRow(name, name, "b", transports=(f"link:{name}",)))
            await InboxTable(database, lambda: 1).add(MESSAGE)

    asyncio.run(fill())
    return home


def names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT device_id FROM devices ORDER BY device_id")]


def microclaw(home: Path, *words: str) -> int:
    return main(["--home", str(home), *words])


def test_a_store_goes_into_a_new_database_and_its_newest_content_back(
    home: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.new_database(empty=True)
    to = ("backup", "migrate", "--to", url)
    lock = take_lock(home / "microclaw.db")
    assert microclaw(home, *to) != 0, "a host runs"
    os.close(lock)
    capsys.readouterr()
    assert microclaw(home, *to, "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["dry_run"] is True
    assert (told["rows"]["devices"], told["rows"]["faces"], told["rows"]["inbox"]) == (2, 2, 1)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM devices").fetchone() == (0,)
    assert microclaw(home, *to) == 0
    assert microclaw(home, *to) != 0, "it has rows now"
    assert "--replace" in capsys.readouterr().err

    async def go_on() -> None:
        async with host_in(url, "b-0001") as (second, _):
            await DeviceTable(second).put(DeviceRow("garden", "garden", "b"))
            await InboxTable(second, lambda: 1).add(MESSAGE)
            assert len(await DeviceTable(second).list()) == 3
            for refused in (to, ("backup", "migrate", "--back", "--database", url)):
                assert await asyncio.to_thread(microclaw, home, *refused, "--replace") != 0, "a host runs"

    asyncio.run(go_on())
    back = ("backup", "migrate", "--back", "--database", url)
    assert microclaw(home, *back) != 0
    assert "--replace" in capsys.readouterr().err
    assert microclaw(home, *back, "--dry-run") == 0
    assert names(home / "microclaw.db") == ["hall", "kitchen"]
    assert microclaw(home, *back, "--replace") == 0
    assert names(home / "microclaw.db") == ["garden", "hall", "kitchen"]
    assert names(home / "microclaw.db.replaced") == ["hall", "kitchen"]

    async def as_before() -> int:
        async with Database.open(home / "microclaw.db") as database:
            await DeviceTable(database).put(DeviceRow("attic", "attic", "b"))
            return len(await InboxTable(database, lambda: 1).unanswered())

    assert asyncio.run(as_before()) == 2  # none is another host's
    assert microclaw(home, *to, "--replace") == 0
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM devices").fetchone() == (4,)
    assert [path.name for path in home.iterdir() if ".back" in path.name] == []
