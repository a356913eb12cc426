"""The store: durable commits a second, one after another and with many waiting, beside plain sqlite3.

And what the telemetry of 300 devices costs, each with three values a half minute: kept in groups and made smaller,
beside plain sqlite3 that inserts the same values in the same groups and does nothing else. CPU of the whole process.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from bench.report import Metric, median
from microclaw.devices.registry.registry import Registry
from microclaw.devices.telemetry.history import FLUSH_S, STEP_S, TelemetryHistory
from microclaw.devices.transports.open import open_transport
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceTable
from microclaw.host.store.downsampling import Downsampling
from microclaw.host.store.telemetry import HOUR_MS, TelemetryTable
from microclaw.wire.link.messages import Telemetry

ROWS = 2000
WAITING = 64
RUNS = 5
DEVICES = 300
PERIOD_S = 30
GROUPS = 360  # of five seconds: half an hour
BEGAN_MS = 1_780_000_000_000 // HOUR_MS * HOUR_MS
_TABLE = "CREATE TABLE bench (n INTEGER PRIMARY KEY, text TEXT)"
_ROW = "INSERT INTO bench (text) VALUES ('a row that matters')"


def measure() -> list[Metric]:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder:
        plain = median([_plain(Path(folder, f"plain-{n}.db")) for n in range(RUNS)])
        ours = [asyncio.run(_ours(Path(folder, f"ours-{n}", "store.db"))) for n in range(RUNS)]
        telemetry = [asyncio.run(_telemetry(Path(folder, f"telemetry-{n}", "store.db"))) for n in range(RUNS)]
        plain_points = [_plain_points(Path(folder, f"points-{n}.db")) for n in range(RUNS)]
    kept = median([cost for cost, _ in telemetry])
    ratios = [cost / base for (cost, _), base in zip(telemetry, plain_points, strict=True)]
    alone = median([a for a, _ in ours])
    waiting = median([w for _, w in ours])
    return [
        Metric("a commit alone / plain sqlite3's commit", alone / plain, "x"),
        Metric("a commit with 64 waiting / plain sqlite3's commit", waiting / plain, "x", 0.5),
        Metric("a commit alone", alone * 1e6, "us"),
        Metric("a commit with 64 waiting", waiting * 1e6, "us"),
        Metric("plain sqlite3's commit (WAL, synchronous FULL)", plain * 1e6, "us"),
        Metric("CPU of a telemetry message kept / plain sqlite3's inserts in groups", median(ratios), "x", 6),
        Metric("CPU of a telemetry message kept", kept * 1e6, "us"),
        Metric("of it: to make minutes and hours of it", median([smaller for _, smaller in telemetry]) * 1e6, "us"),
        Metric("CPU of plain sqlite3's inserts of its values", median(plain_points) * 1e6, "us"),
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


def _groups() -> Iterator[tuple[int, range]]:
    """Yield the time of each group, and the devices in it."""
    size = int(DEVICES * FLUSH_S / PERIOD_S)
    for n in range(GROUPS):
        first = n * size % DEVICES
        yield BEGAN_MS + int(n * FLUSH_S * 1000), range(first, first + size)


def _message(device: int, at_ms: int) -> Telemetry:
    return Telemetry(free_heap=180_000 + at_ms % 977, uptime_s=9, apps=(), rssi=-50 - device % 20, temperature=41.25)


def _messages() -> int:
    return sum(len(devices) for _, devices in _groups())


async def _telemetry(path: Path) -> tuple[float, float]:
    """CPU seconds of a message, and of making it smaller."""
    now_ms = BEGAN_MS
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(path))
        registry = Registry(
            store=DeviceTable(database),
            open_transport=partial(open_transport, lock_folder=path.parent / "locks"),
            mint_id=iter(f"d{n}" for n in range(DEVICES)).__next__,
            now_ms=lambda: BEGAN_MS,
        )
        await stack.enter_async_context(registry)
        endpoints = [f"wasmachine://127.0.0.1:{10_000 + n}" for n in range(DEVICES)]
        for n, endpoint in enumerate(endpoints):
            await registry.add(f"b{n}", "virtual", [endpoint])
        history = TelemetryHistory(
            TelemetryTable(database),
            Downsampling(database),
            registry,
            now_ms=lambda: now_ms,
            monotonic_s=lambda: now_ms / 1000,
        )
        smaller_s = 0.0
        began_s = time.process_time()
        for n, (now_ms, devices) in enumerate(_groups()):
            for device in devices:
                history.add_message(endpoints[device], _message(device, now_ms))
            await history.flush()
            if n % int(STEP_S / FLUSH_S) == 0:
                before_s = time.process_time()
                await history.downsample()
                smaller_s += time.process_time() - before_s
        return (time.process_time() - began_s) / _messages(), smaller_s / _messages()


def _plain_points(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE points (at_ms INTEGER, series INTEGER, value REAL)")
    began_s = time.process_time()
    for at_ms, devices in _groups():
        rows = []
        for device in devices:
            message = _message(device, at_ms)
            for n, value in enumerate((message.free_heap, message.rssi, message.temperature)):
                rows.append((at_ms, 3 * device + n, value))
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO points VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
    took_s = time.process_time() - began_s
    connection.close()
    return took_s / _messages()
