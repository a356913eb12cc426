"""What was acknowledged survives kill -9 at any moment: a child writes and acknowledges on its output, then dies."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from microclaw.store.database import Database
from microclaw.store.devices import DeviceTable
from microclaw.store.sessions import Sessions

KILLS = 20
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


def run_until_killed(home: Path, run: int, acknowledgements: int) -> list[tuple[str, int]]:
    """Start the child, kill it in the middle of its writing, return everything it acknowledged."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(home), str(run)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(acknowledgements)]
    child.kill()
    rest, _ = child.communicate(timeout=60)
    whole = [line for line in ("".join(lines) + rest).splitlines(keepends=True) if line.endswith("\n")]
    assert len(whole) >= acknowledgements
    return [(name, int(number)) for name, number in (line.split() for line in whole)]


async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    chance = random.Random(20)
    acknowledged = {run: run_until_killed(tmp_path, run, chance.randint(1, 400)) for run in range(KILLS)}
    async with Database.open(tmp_path / "store.db") as database:
        stored = {row.device_id for row in await DeviceTable(database).list()}
        for run, writes in acknowledged.items():
            kept = await Sessions(database, lambda: 1).load("ws", f"{run}-s", newest=100_000)
            said = [message.ts for message in kept]
            assert said == list(range(len(said)))
            for name, number in writes:
                assert number < len(said) if name == "s" else f"{run}-{name}-{number}" in stored
