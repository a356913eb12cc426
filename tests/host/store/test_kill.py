"""Acknowledged rows survive kill -9 at any moment, each once: a child writes, acknowledges on its output, and dies."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from tests.host.store.test_downsampling import NOON_MS, rows, settle

from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceTable
from microclaw.host.store.sessions import Sessions
from microclaw.host.store.telemetry import HOUR_MS, MINUTE_MS

KILLS = 8
CHILD = """
import asyncio, sys
from pathlib import Path
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceRow, DeviceTable
from microclaw.host.store.sessions import SessionMessage, Sessions

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


def lines_until_killed(code: str, *arguments: object, lines: int) -> list[str]:
    """Kill -9 after so many lines; every whole line that it said."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(lines)]
    child.kill()
    rest, _ = child.communicate(timeout=60)
    whole = [line for line in ("".join(said) + rest).splitlines(keepends=True) if line.endswith("\n")]
    assert len(whole) >= lines
    return whole


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


MEASURING = """
import asyncio, sys
from pathlib import Path
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceRow, DeviceTable
from microclaw.host.store.downsampling import Downsampling
from microclaw.host.store.telemetry import Point, TelemetryTable

async def main(path, at_ms):
    async with Database.open(path) as database:
        await DeviceTable(database).put(DeviceRow("d1", "d1", "virtual"))
        table, downsampling = TelemetryTable(database), Downsampling(database)
        while True:
            points = [Point("d1", key, at_ms + n * 15_000, n) for n in range(40) for key in ("t", "u")]
            await table.append(points)
            at_ms += 600_000
            sys.stdout.write(f"{at_ms}\\n")
            sys.stdout.flush()
            while await downsampling.step(at_ms):
                pass

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


async def test_after_kill_9_each_value_counts_once_and_no_bucket_is_lost(tmp_path: Path) -> None:
    chance = random.Random(50)
    path = tmp_path / "store.db"
    at_ms = NOON_MS
    for _ in range(4):  # one group may have been written and not acknowledged: it is written again, and counts once
        at_ms = int(lines_until_killed(MEASURING, path, at_ms, lines=chance.randint(20, 60))[-1])
    async with Database.open(path) as database:
        await settle(database, at_ms + 2 * HOUR_MS)
        minutes = [row for row in await rows(database, "minutes") if row[1] < at_ms]
        hours = [row for row in await rows(database, "hours") if row[1] < at_ms // HOUR_MS * HOUR_MS]
    assert {row[5] for row in minutes} == {4}
    assert len(minutes) == 2 * (at_ms - NOON_MS) // MINUTE_MS
    assert {row[5] for row in hours} == {240}
    assert len(hours) == 2 * ((at_ms - NOON_MS) // HOUR_MS)
