"""Many hosts on PostgreSQL beside one host alone: durable messages, calls, lost hosts, quiet devices, what is loaded.

A durable message is HostOutbox.append, as every message to a device is. Both engines sync each commit to the same disk
before they answer. A message is shown as the mean and as the median, for a sync takes some of them much longer.

A call asks a virtual board for its status, through the API of the host that has its connection and of another one, in
turn: three processes that speak over loopback. The rest is in bench.scale_devices.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

from tests.postgres import running_server

from bench import scale_devices
from bench.processes import Running, private_home, running
from bench.report import Metric, median
from microclaw.clock import now_ms
from microclaw.durable import write_private
from microclaw.host.operations.client import Client
from microclaw.host.store.database import Database
from microclaw.host.store.links import LinkTable
from microclaw.host.store.postgres import SharedDatabase
from microclaw.interfaces.cli.child import Child
from microclaw.interfaces.cli.targets import known_devices
from microclaw.programs.changes.device_calls import call_device

LOOK = """
import asyncio, pathlib, sys, tempfile
from microclaw.app.host import running_host
from microclaw.host.config.load import load_settings
from dataclasses import replace

async def main():
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"HOME": folder}, home=pathlib.Path(folder) / "home")
        async with running_host(replace(settings, http_port=0, gateway=None)):
            print(sorted(name for name in sys.modules if name.startswith("psycopg") or ".cluster." in name))

asyncio.run(main())
"""
WAITING = 64
PAYLOAD = bytes(200)
KINDS = ("a durable message", "a durable message, p50", f"a durable message of {WAITING} waiting")
EMBEDDED = "SQLite"
SHARED = "PostgreSQL"
BOARD = "bulb"
METHOD = "device.status"  # changes nothing, at the board or in a host
READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Effort:
    """`alone` messages one after another and `each` for 64 devices at once, `rounds` times; `calls` at each host."""

    rounds: int = 7
    alone: int = 60
    each: int = 6
    calls: int = 300
    starts: int = 3


QUICK = Effort(rounds=3, alone=20, each=2, calls=50, starts=1)


def measure(effort: Effort | None = None, *, quick: bool = False) -> list[Metric]:
    effort = effort or (QUICK if quick else Effort())
    before = Metric("load average of the machine, before", os.getloadavg()[0], "")
    found = [before, *messages(effort), *_calls(effort), *_alone(effort), *scale_devices.measure(quick=quick)]
    return [*found, Metric("load average of the machine, after", os.getloadavg()[0], "")]


# Durable messages


def messages(effort: Effort) -> list[Metric]:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder, ExitStack() as stack:
        server = stack.enter_context(running_server(Path(folder) / "database", durable=True))
        times = asyncio.run(_append_in_turn(effort, Path(folder), server.new_database()))
    found = []
    for index, what in enumerate(KINDS):
        base = [run[index] for run in times[EMBEDDED]]
        found.append(Metric(f"{what}: {EMBEDDED}", median(base) * 1e3, "ms"))
        mine = [run[index] for run in times[SHARED]]
        ratio = median([own / of_base for own, of_base in zip(mine, base, strict=True)])
        found.append(Metric(f"{what}: {SHARED}", median(mine) * 1e3, "ms"))
        found.append(Metric(f"{what}: {SHARED} / {EMBEDDED}", ratio, "x", 3))
    return found


async def _append_in_turn(effort: Effort, home: Path, url: str) -> dict[str, list[tuple[float, ...]]]:
    async with (
        Database.open(home / "embedded" / "microclaw.db") as embedded,
        SharedDatabase.opened(url, "bench") as shared,
    ):
        stores: dict[str, Database] = {EMBEDDED: embedded, SHARED: shared}
        times: dict[str, list[tuple[float, ...]]] = {name: [] for name in stores}
        for turn in range(effort.rounds + 1):
            for name, store in stores.items():
                took = await _append(store, turn, effort)
                if turn:  # the first one warms them up
                    times[name].append(took)
        return times


async def _append(store: Database, turn: int, effort: Effort) -> tuple[float, ...]:
    """Seconds a message, as KINDS; each turn has outboxes of its own, that are empty."""
    table = LinkTable(store, now_ms=now_ms, random_bytes=secrets.token_bytes)
    devices = [f"device-{turn}-{number}" for number in range(WAITING + 1)]
    for device_id in devices:
        await table.open(device_id)
    alone_s = []
    for _ in range(effort.alone):
        began = time.perf_counter()
        await table.append(devices[0], secrets.token_bytes(16), PAYLOAD)
        alone_s.append(time.perf_counter() - began)
    began = time.perf_counter()
    for _ in range(effort.each):
        await asyncio.gather(*(table.append(one, secrets.token_bytes(16), PAYLOAD) for one in devices[1:]))
    waiting_s = (time.perf_counter() - began) / (effort.each * WAITING)
    return sum(alone_s) / effort.alone, median(alone_s), waiting_s


# Calls


def _calls(effort: Effort) -> list[Metric]:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder, ExitStack() as stack:
        home = Path(folder)
        url = stack.enter_context(running_server(home / "database", durable=True)).new_database()
        here = stack.enter_context(_host(home / "h1", "--database", url))
        (home / "h2").mkdir(mode=0o700)
        copytree(home / "h1" / "identity", home / "h2" / "identity")  # the board trusts one authority
        there = stack.enter_context(_host(home / "h2", "--database", url))
        clients = [Client(home / name / "control.sock", timeout_s=READY_S) for name in ("h1", "h2")]
        stack.enter_context(_board(home, clients[0]))
        for client in clients:
            _until_called(client)
        times: list[list[float]] = [[], []]
        for number in range(2 * effort.calls):
            host = (number + number // 2) % 2  # each is the first of a pair as often as the other
            began = time.perf_counter()
            _call(clients[host])
            times[host].append((time.perf_counter() - began) * 1e3)
        rss = Metric("resident memory of a host of two", median([here.rss_mb(), there.rss_mb()]), "MB")
    own = median(times[0])
    other = median(times[1])
    return [
        Metric("a call, to a device of this host, p50", own, "ms"),
        Metric("a call, to a device of another host, p50", other, "ms"),
        Metric("a call: added by the other host", other - own, "ms", 2),
        rss,
    ]


@contextmanager
def _host(home: Path, *options: str) -> Iterator[Running]:
    """`microclaw up` with that home."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with private_home(MICROCLAW_HOME=str(home), MICROCLAW_CLUSTER__HOST=home.name) as environ:
        words = ["microclaw", "--json", "up", "--port", "0", "--link", "127.0.0.1:0", "--virtual", "0", *options]
        with running(*words, environ=environ) as host:
            if host.facts.get("ready") is not True:
                raise ValueError(f"the host did not start: {host.facts}")
            yield host


@contextmanager
def _board(home: Path, client: Client) -> Iterator[None]:
    made = client.post("/v1/devices/provision", {"name": BOARD, "board": "virtual", "secret": True, "host": None})
    secret = home / "secret"
    write_private(secret, made["secret"].encode("ascii"))
    words = ["microclaw.virtual", "--name", BOARD, "--wasmachine", "0", "--serial", "none", "--die-with-parent"]
    words += ["--flash", str(home / "flash"), "--control", str(home / "board.sock"), "--link-secret-file", str(secret)]
    words += ["--link", f"wss://{made['host']}:{made['port']}/link", "--link-ca-sha256", made["ca_sha256"]]
    with Child("board", words, log=home / "board.stderr") as board:
        board.wait_ready(READY_S)
        yield


def _until_called(client: Client) -> None:
    """The host knows the board, and reaches it."""
    deadline = time.monotonic() + READY_S
    while not any(one.name == BOARD and METHOD in one.capabilities for one in known_devices(client)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the board was not online within {READY_S:g} s")
        time.sleep(0.05)
    _call(client)


def _call(client: Client) -> None:
    client.call(call_device, device=BOARD, method=METHOD)


# A single host


def _alone(effort: Effort) -> list[Metric]:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    if done.stdout.strip() != "[]":
        loaded = len(done.stdout.strip("[]\n").split(","))
    else:
        loaded = 0
    alone = []
    shared = []
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder, ExitStack() as stack:
        url = stack.enter_context(running_server(Path(folder) / "database")).new_database()
        for _ in range(effort.starts):
            alone.append(_at_rest(Path(folder) / "alone"))
            shared.append(_at_rest(Path(folder) / "shared", "--database", url))
    return [
        Metric("modules of the cluster in a single host", loaded, "", 0),
        Metric("a single host: ready", median([ready for ready, _ in alone]), "s"),
        Metric("a host with --database: ready", median([ready for ready, _ in shared]), "s"),
        Metric("a single host: resident memory", median([rss for _, rss in alone]), "MB"),
        Metric("a host with --database: resident memory", median([rss for _, rss in shared]), "MB"),
    ]


def _at_rest(home: Path, *options: str) -> tuple[float, float]:
    with _host(home, *options) as host:
        time.sleep(1.5)  # what it warms up in the background is there
        return host.ready_s, host.rss_mb()
