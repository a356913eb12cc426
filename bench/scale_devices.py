"""Devices of a cluster's hosts: what a quiet one costs where there are few and many, and how soon all are back.

Hosts are processes of their own (bench.link_host with --database) over one PostgreSQL server; devices are
bench.link_device's, over TLS, in this process. A cost is what the host has more than without devices, by device: its
own share would make many devices look cheaper. In the failover, devices know both hosts' ports and come back as
docs/protocols/link.md says: a wait with full jitter, then the next address. They are back when the database has each as
the other host's own, with a presence from after the kill. All of it shares this machine's cores.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
import signal
import ssl
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import uvloop
from tests.postgres import running_server

from bench.link_device import DeviceClient, connect_device
from bench.processes import Running, running
from bench.report import Metric, percentile
from microclaw.backoff import Backoff

AT_ONCE = 16
LOOK_S = 0.05
WARM = 500  # devices that are there before anything is counted: they take what memory the start left free
FILES_BESIDE = 500  # that this process and a host have open beside devices' connections


@dataclass(frozen=True, slots=True)
class Effort:
    """`few` and `many` quiet devices, watched for `rest_s` each; a host of `failover` devices is killed."""

    few: int = 1_000
    many: int = 10_000
    rest_s: float = 45.0  # three heartbeats of every device
    settle_s: float = 10.0
    failover: int = 1_000
    patience_s: float = 300.0


QUICK = Effort(few=100, many=500, rest_s=15.0, settle_s=3.0, failover=200)


def measure(effort: Effort | None = None, *, quick: bool = False) -> list[Metric]:
    effort = effort or (QUICK if quick else Effort())
    _let_open(effort.many + WARM + FILES_BESIDE)
    found = []
    for part in (_failover, _idle):
        with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder, ExitStack() as stack:
            url = stack.enter_context(running_server(Path(folder) / "database", durable=True)).new_database()
            home = Path(folder) / "hosts"
            runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
            found += runner.run(part(effort, home, url, stack))
    return found


def _let_open(files: int) -> None:
    """Hosts inherit it. Raises ValueError where this machine does not allow so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < files:
        raise ValueError(f"{files} files must be open at once, {hard} may be: raise it (ulimit -Hn), or use --quick")
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def _host(home: Path, url: str, name: str, tokens: int, stack: ExitStack) -> Running:
    home.mkdir(exist_ok=True)
    words = ("--devices", str(tokens), "--database", url, "--home", str(home), "--name", name)
    return stack.enter_context(running("bench.link_host", *words))


# Quiet devices


@dataclass(frozen=True, slots=True)
class Level:
    """The load of a host with so many quiet devices more than the first ones."""

    devices: int
    rss_mb: float
    cpu_s: float  # a minute

    def more_than(self, base: Level) -> tuple[float, float]:
        """KB a device, and ms of CPU a device and minute."""
        return (self.rss_mb - base.rss_mb) * 1e3 / self.devices, (self.cpu_s - base.cpu_s) * 1e3 / self.devices


async def _idle(effort: Effort, home: Path, url: str, stack: ExitStack) -> list[Metric]:
    host = _host(home, url, "h1", effort.many + WARM, stack)
    warm = min(WARM, effort.few)
    devices = await _connected(host, range(warm))
    base = await _at_rest(effort, host, 0)
    devices += await _connected(host, range(warm, warm + effort.few))
    few = await _at_rest(effort, host, effort.few)
    cpu_s = host.cpu_s()
    began = time.perf_counter()
    devices += await _connected(host, range(warm + effort.few, warm + effort.many))
    took_s = time.perf_counter() - began
    cpu_s = host.cpu_s() - cpu_s
    many = await _at_rest(effort, host, effort.many)
    lost = sum(device.transport.is_closing() for device in devices)
    os.kill(host.pid, signal.SIGKILL)  # to see off so many one by one is not what is measured
    few_kb, few_ms = few.more_than(base)
    many_kb, many_ms = many.more_than(base)
    return [
        Metric(f"memory of the host with the first {warm} devices", base.rss_mb, "MB"),
        Metric(f"memory a device, {few.devices} of them", few_kb, "KB"),
        Metric(f"memory a device, {many.devices} of them", many_kb, "KB"),
        Metric(f"memory a device, {many.devices} / {few.devices}", many_kb / few_kb, "x", 1.1),
        Metric(f"the host's CPU a minute with the first {warm} devices", base.cpu_s * 1e3, "ms"),
        Metric(f"CPU a device a minute, {few.devices} of them", few_ms, "ms"),
        Metric(f"CPU a device a minute, {many.devices} of them", many_ms, "ms"),
        Metric(f"CPU a device a minute, {many.devices} / {few.devices}", many_ms / few_ms, "x", 1.1),
        Metric(f"devices lost of {many.devices}", lost, "", 0),
        Metric(f"until {many.devices - few.devices} more were connected", took_s, "s"),
        Metric("of it: the host's CPU a device", cpu_s * 1e3 / (many.devices - few.devices), "ms"),
    ]


async def _at_rest(effort: Effort, host: Running, devices: int) -> Level:
    gc.collect()
    await asyncio.sleep(effort.settle_s)
    cpu_s = host.cpu_s()
    began = time.perf_counter()
    await asyncio.sleep(effort.rest_s)
    minutes = (time.perf_counter() - began) / 60
    return Level(devices, host.rss_mb(), (host.cpu_s() - cpu_s) / minutes)


async def _connected(host: Running, numbers: range) -> list[DeviceClient]:
    tls = ssl.create_default_context(cadata=host.facts["ca"])
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> DeviceClient:
        async with gate:
            return await connect_device(host.facts["port"], host.facts["tokens"][number], tls)

    return list(await asyncio.gather(*(one(number) for number in numbers)))


# A host is killed


class _LosableDevice(DeviceClient):
    """It tells when its connection is gone."""

    def __init__(self, token: str) -> None:
        super().__init__(token)
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()


class _Fleet:
    """Devices that stay connected to one of the hosts. `back_s` has when each was welcomed after `killed`."""

    def __init__(self, hosts: Sequence[Running]) -> None:
        facts = hosts[0].facts
        self._ports = [host.facts["port"] for host in hosts]
        self._tokens = facts["tokens"]
        self._tls = ssl.create_default_context(cadata=facts["ca"])
        self._gate = asyncio.Semaphore(AT_ONCE)  # for the first connection alone
        self.connected = 0
        self.killed = 0.0
        self.back_s: list[float] = []
        self.tries = 0

    async def stay(self, number: int) -> None:
        """One device, until it is cancelled."""
        address = 0
        async with self._gate:
            device = await self._connect(number, address)
        self.connected += 1
        try:
            while True:
                await device.lost.wait()
                self.connected -= 1
                device = await self._come_back(number, address)
                self.connected += 1
                self.back_s.append(time.perf_counter() - self.killed)
        finally:
            device.transport.abort()

    async def _come_back(self, number: int, address: int) -> _LosableDevice:
        backoff = Backoff(random.random)
        while True:
            await asyncio.sleep(backoff.next_wait_s())
            address = (address + 1) % len(self._ports)
            self.tries += 1
            try:
                return await self._connect(number, address)
            except (OSError, TimeoutError):
                continue

    async def _connect(self, number: int, address: int) -> _LosableDevice:
        device = await connect_device(self._ports[address], self._tokens[number], self._tls, _LosableDevice)
        assert isinstance(device, _LosableDevice)
        return device


async def _failover(effort: Effort, home: Path, url: str, stack: ExitStack) -> list[Metric]:
    count = effort.failover
    first = _host(home, url, "h1", count, stack)
    second = _host(home, url, "h2", 0, stack)
    fleet = _Fleet((first, second))
    staying = [asyncio.create_task(fleet.stay(number), name=f"device {number}") for number in range(count)]
    try:
        async with asyncio.timeout(effort.patience_s):
            while fleet.connected < count:
                _check(staying)
                await asyncio.sleep(LOOK_S)
            await asyncio.sleep(effort.settle_s)
            cpu_s = second.cpu_s()
            killed_ms = time.time_ns() // 1_000_000
            fleet.killed = time.perf_counter()
            os.kill(first.pid, signal.SIGKILL)
            while await asyncio.to_thread(_present, url, second, killed_ms) < count:
                _check(staying)
                await asyncio.sleep(LOOK_S)
            all_s = time.perf_counter() - fleet.killed
    finally:
        for task in staying:
            task.cancel()
        await asyncio.wait(staying)
    return [
        Metric(f"kill -9 of a host with {count} devices: half are at the other", percentile(fleet.back_s, 50), "s"),
        Metric(f"kill -9 of a host with {count} devices: all are, in the store", all_s, "s", 10),
        Metric(f"kill -9 of a host with {count} devices: tries a device", fleet.tries / count, ""),
        Metric(f"kill -9 of a host with {count} devices: the other's CPU", second.cpu_s() - cpu_s, "s"),
    ]


def _check(staying: Sequence[asyncio.Task[None]]) -> None:
    """Raise what ended a device's task: it should have gone on."""
    for task in staying:
        if task.done():
            task.result()


def _present(url: str, host: Running, since_ms: int) -> int:
    """The number of devices at the host, seen since then."""
    query = """SELECT count(*) FROM link_holders JOIN link_presence USING (device_id)
        WHERE link_holders.host = %s AND link_presence.seen_ms >= %s"""
    with psycopg.connect(url) as store:
        (count,) = store.execute(query, (host.facts["host"], since_ms)).fetchone() or (0,)
    return int(count)
