"""`microclaw backup migrate`: a host's store into a shared database and back, checked before anything is changed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from tests.host.cluster.hosts import host_in
from tests.postgres import PostgresServer

from microclaw.agent.knowledge.texts import TextTable
from microclaw.events import Inbound
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceRow, DeviceTable
from microclaw.host.store.inbox import InboxTable
from microclaw.host.store.sqlite_file import take_lock
from microclaw.interfaces.cli.main import main


async def put(database: Database, *names: str) -> int:
    """Devices and a message that waits; how many wait then."""
    for name in names:
        await DeviceTable(database).put(DeviceRow(name, name, "b", transports=(f"link:{name}",)))
    inbox = InboxTable(database, lambda: 1)
    await inbox.add(Inbound("cli", "c", "hello", "p"))
    return len(await inbox.unanswered())


async def put_in(home: Path, *names: str) -> int:
    async with Database.open(home / "microclaw.db") as database:
        return await put(database, *names)


def names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT device_id FROM devices ORDER BY device_id")]


def test_a_store_goes_into_a_new_database_and_its_newest_content_back(
    tmp_path: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    url = postgres.new_database(empty=True)
    to = ("--to", url)
    back = ("--back", "--database", url)

    def migrate(*words: str) -> bool:
        return main(["--home", str(home), "backup", "migrate", *words]) == 0

    def counted() -> int:
        with psycopg.connect(url) as connection:
            return int(connection.execute("SELECT count(*) FROM devices").fetchall()[0][0])

    assert asyncio.run(put_in(home, "kitchen", "hall")) == 1
    texts = {
        "memory/MEMORY.md": "the lamp is on pin 4\n",
        "memory/people/ann/USER.md": "Ann\n",
        "config/SOUL.md": "kind\n",
    }
    for name, text in texts.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    lock = take_lock(home / "microclaw.db")
    assert not migrate(*to), "a host runs"
    lock.close()
    capsys.readouterr()
    assert migrate(*to, "--dry-run", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["dry_run"], told["rows"]["devices"], told["rows"]["inbox"], counted()) == (True, 2, 1, 0)
    assert migrate(*to)
    assert not migrate(*to), "it has rows now"
    assert "--replace" in capsys.readouterr().err

    async def go_on() -> None:
        async with host_in(url, "b-0001") as (second, _):
            shared = TextTable(second, lambda: 1)
            await shared.refresh()
            assert {name: shared.read(name) for name in texts} == texts
            await shared.change("memory/MEMORY.md", lambda old: (f"{old}the fan is on pin 5\n", None))
            await put(second, "garden")
            for words in (to, back):
                assert not await asyncio.to_thread(migrate, *words, "--replace"), "a host runs"

    asyncio.run(go_on())
    assert not migrate(*back)
    assert "--replace" in capsys.readouterr().err
    assert migrate(*back, "--dry-run")
    assert names(home / "microclaw.db") == ["hall", "kitchen"]
    assert migrate(*back, "--replace")
    assert names(home / "microclaw.db") == ["garden", "hall", "kitchen"]
    assert names(home / "microclaw.db.replaced") == ["hall", "kitchen"]
    assert (home / "memory/MEMORY.md").read_text() == "the lamp is on pin 4\nthe fan is on pin 5\n"
    assert [path.read_text() for path in (home / "memory/versions").iterdir()] == [texts["memory/MEMORY.md"]]
    assert asyncio.run(put_in(home, "attic")) == 3, "none is another host's"
    assert migrate(*to, "--replace")
    assert counted() == 4
