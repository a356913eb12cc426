"""Acknowledged rows survive kill -9 at any moment: a child writes and acknowledges on its output, then dies."""

from __future__ import annotations

import random
from pathlib import Path

from tests.store.killed_child import lines_until_killed

from microclaw.store.database import Database
from microclaw.store.devices import DeviceTable
from microclaw.store.sessions import Sessions

KILLS = 8
CHILD = """
import asyncio, sys
from pathlib import Path
from microclaw.store.database import Database
from microclaw.store.devices import DeviceRow, DeviceTable
from microclaw.store.sessions import SessionMessage, Sessions

async def write(name, put):
    number = 0
    while True:
        await put(name, number)
        sys.stdout.write(f"{name} {number}\\n")
        sys.stdout.flush()
        number += 1

async def main(home, run):
    async with Database.open(home / "store.db") as database:
        table, sessions = DeviceTable(database), Sessions(database, lambda: 1)
        async def device(name, number):
            await table.put(DeviceRow(f"{run}-{name}-{number}", f"{run}-{name}-{number}", "b", (), number))
        async def session(name, number):
            await sessions.append("ws", f"{run}-{name}", [SessionMessage("user", "x" * 50, number)])
        async with asyncio.TaskGroup() as group:
            for writer in range(6):
                group.create_task(write(f"d{writer}", device))
            group.create_task(write("s", session))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    chance = random.Random(20)
    said = {run: lines_until_killed(CHILD, tmp_path, run, lines=chance.randint(1, 400)) for run in range(KILLS)}
    async with Database.open(tmp_path / "store.db") as database:
        stored = {row.device_id for row in await DeviceTable(database).list()}
        for run, lines in said.items():
            kept = await Sessions(database, lambda: 1).load("ws", f"{run}-s", newest=100_000)
            assert [message.ts for message in kept] == list(range(len(kept)))
            for name, number in (line.split() for line in lines):
                assert int(number) < len(kept) if name == "s" else f"{run}-{name}-{number}" in stored
