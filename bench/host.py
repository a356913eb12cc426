"""The host process: how soon it is ready, what it weighs at rest, how quick `--help` is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

from bench.processes import private_home, running
from bench.report import Metric, median, timed
from microclaw.devices.registry.registry import MAX_DEVICES
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import Client
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceRow, DeviceTable
from microclaw.interfaces.cli.targets import known_devices

RUNS = 7


def measure() -> list[Metric]:
    return [*started(RUNS), *_many_devices()]


def started(runs: int) -> list[Metric]:
    ready_s = []
    rss_mb = []
    for _ in range(runs):
        with (
            private_home() as environ,
            running("microclaw", "up", "--json", "--port", "0", environ=environ) as host,
        ):
            ready_s.append(host.ready_s)
            time.sleep(1.5)  # at rest: what it warms up in the background is there
            rss_mb.append(host.rss_mb())
    help_s = [_run("-m", "microclaw", "--help") for _ in range(runs)]
    python_s = [_run("-c", "pass") for _ in range(runs)]
    return [
        Metric("host ready, from process start", median(ready_s), "s", 1.5),
        Metric("host resident memory at rest, offline", median(rss_mb), "MB", 115),
        Metric("microclaw --help", median(help_s), "s", 0.25),
        Metric("python itself", median(python_s), "s"),
    ]


def _many_devices() -> list[Metric]:
    """A host that knows as many devices as it may. A page of the list holds its event loop as long as it takes."""
    few_mb, _, _ = _listed(1)
    many_mb, page_s, all_s = _listed(MAX_DEVICES)
    return [
        Metric(f"GET /v1/devices, a page of 1,000 of {MAX_DEVICES:,}", page_s * 1000, "ms", 500),
        Metric(f"all {MAX_DEVICES:,} devices, page by page", all_s, "s", 5),
        Metric("memory of a known device", (many_mb - few_mb) * 1024 / MAX_DEVICES, "KB", 15),
    ]


def _listed(count: int) -> tuple[float, float, float]:
    with private_home() as environ:
        settings = load_settings(environ)
        asyncio.run(_fill(settings.database, count))
        with running("microclaw", "up", "--json", "--port", "0", environ=environ) as host:
            time.sleep(1.5)
            rss_mb = host.rss_mb()
            client = Client(settings.control_socket)
            known_devices(client)  # the first answer reads what later ones have
            page_s = [timed(lambda: client.get("/v1/devices")) for _ in range(RUNS)]
            return rss_mb, median(page_s), median([timed(lambda: known_devices(client)) for _ in range(3)])


async def _fill(path: Path, count: int) -> None:
    async with Database.open(path) as database:
        table = DeviceTable(database)
        rows = [
            DeviceRow(f"d{n}", f"b{n}", "virtual", transports=(f"wasmachine://192.0.2.7:{n + 1}",))
            for n in range(count)
        ]
        for start in range(0, count, 500):
            await asyncio.gather(*(table.put(row) for row in rows[start : start + 500]))


def _run(*words: str) -> float:
    return timed(lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True))
