"""The store: durable commits a second, one after another and with many waiting, beside plain sqlite3."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

from bench.report import Metric, median
from microclaw.store.database import Database

ROWS = 2000
WAITING = 64
RUNS = 5
_TABLE = "CREATE TABLE bench (n INTEGER PRIMARY KEY, text TEXT)"
_ROW = "INSERT INTO bench (text) VALUES ('a row that matters')"


def measure() -> list[Metric]:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder:
        plain = median([_plain(Path(folder, f"plain-{n}.db")) for n in range(RUNS)])
        ours = [asyncio.run(_ours(Path(folder, f"ours-{n}", "store.db"))) for n in range(RUNS)]
    alone, waiting = median([a for a, _ in ours]), median([w for _, w in ours])
    return [
        Metric("a commit alone / plain sqlite3's commit", alone / plain, "x"),
        Metric("a commit with 64 waiting / plain sqlite3's commit", waiting / plain, "x", 0.5),
        Metric("a commit alone", alone * 1e6, "us"),
        Metric("a commit with 64 waiting", waiting * 1e6, "us"),
        Metric("plain sqlite3's commit (WAL, synchronous FULL)", plain * 1e6, "us"),
    ]


def _plain(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(_TABLE)
    began = time.perf_counter()
    for _ in range(ROWS):
        connection.execute(_ROW)
    took_s = time.perf_counter() - began
    connection.close()
    return took_s / ROWS


async def _ours(path: Path) -> tuple[float, float]:
    async with Database.open(path) as database:
        await database.write(lambda connection: connection.execute(_TABLE))
        began = time.perf_counter()
        for _ in range(ROWS):
            await database.write(lambda connection: connection.execute(_ROW))
        alone_s = time.perf_counter() - began
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(WAITING):
                group.create_task(_rows(database, ROWS // WAITING))
        waiting_s = time.perf_counter() - began
    return alone_s / ROWS, waiting_s / (ROWS // WAITING * WAITING)


async def _rows(database: Database, count: int) -> None:
    for _ in range(count):
        await database.write(lambda connection: connection.execute(_ROW))
