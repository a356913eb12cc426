"""A device plane on loopback, and scripted devices of it (scripted.py)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.devices.link.real_host import real_host as real_host
from tests.devices.link.scripted import PATIENCE_S
from tests.devices.link.scripted import ScriptedDevice as ScriptedDevice
from tests.stores import new_store

from microclaw.devices.link.limits import LinkLimits
from microclaw.devices.link.link_parts import LinkParts
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.link.meter import LinkMeter
from microclaw.devices.link.server import LinkServer
from microclaw.devices.link.tasks import DeviceTasks, TaskRunner
from microclaw.devices.registry.registry import Registry
from microclaw.devices.transports.open import open_transport
from microclaw.events import LiveEvent
from microclaw.hardware.boards import load_board
from microclaw.host.audit.event import AuditEvent
from microclaw.host.auth.authority import RENEWAL_CHECK_S, Authority
from microclaw.host.auth.certificates import lan_names
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceTable
from microclaw.host.store.identity import IdentityTable
from microclaw.host.store.link_events import LinkEventTable, LinkTaskTable
from microclaw.host.store.links import LinkTable
from microclaw.interfaces.api.metrics_page import link_metrics, metrics_page
from microclaw.interfaces.api.server import tcp_listener
from microclaw.supervision import SupervisedTasks
from microclaw.virtual.link_client.state import SystemClock

DAY_MS = 24 * 3_600_000


class Clock:
    """The host's, which a test moves. TLS goes by the machine's: the past is where it may be moved to."""

    ahead_ms = 0

    def ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Published(list[LiveEvent]):
    """Live events as they were published."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def add(self, event: LiveEvent) -> None:
        self.append(event)
        self._news.set()

    async def until(self, kind: type[LiveEvent]) -> Any:
        """The first event of this kind, taken out."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = next((event for event in self if isinstance(event, kind)), None)
                if found is not None:
                    self.remove(found)
                    return found
                self._news.clear()
                await self._news.wait()


class WatchedMeter(LinkMeter):
    """It tells when it counted a refusal."""

    def __init__(self) -> None:
        super().__init__()
        self.news = asyncio.Event()

    def count_refused(self, reason: str) -> None:
        super().count_refused(reason)
        self.news.set()


@dataclass
class Plane:
    """A running device plane and what is around it."""

    plane: LinkServer
    links: LinkRegistry
    registry: Registry
    database: Database
    published: Published
    meter: WatchedMeter
    audited: list[AuditEvent]

    @property
    def ca(self) -> str:
        return self.plane.identity.authority.ca_pem.decode()

    @property
    def refused(self) -> dict[str, int]:
        """The number of connections refused or broken off, by reason."""
        page = metrics_page(link_metrics(self.meter, self.links.depths())).decode().splitlines()
        rows = [row for row in page if row.startswith("microclaw_link_refused_total{")]
        counts = {row.split('"')[1]: int(float(row.rpartition(" ")[2])) for row in rows}
        return {reason: count for reason, count in counts.items() if count}

    async def until_refused(self, reason: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while reason not in self.refused:
                self.meter.news.clear()
                await self.meter.news.wait()


@pytest.fixture
def limits() -> LinkLimits:
    return LinkLimits()


@pytest.fixture
async def plane(tmp_path: Path, limits: LinkLimits) -> AsyncIterator[Plane]:
    async with running_plane(tmp_path, limits) as running:
        yield running


@asynccontextmanager
async def running_plane(
    folder: Path,
    limits: LinkLimits,
    port: int = 0,
    *,
    runner: TaskRunner | None = None,
    code: TaskRunner | None = None,
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    renewal_check_s: float = RENEWAL_CHECK_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    store: Database | None = None,
) -> AsyncIterator[Plane]:
    """`now_ms` is the clock of credentials; the link's own stays the machine's. `store` is one that is open."""
    published = Published()
    audited = list[AuditEvent]()
    async with AsyncExitStack() as stack:
        opening = nullcontext(store) if store is not None else Database.open(new_store(folder / "microclaw.db"))
        database = await stack.enter_async_context(opening)
        links: LinkRegistry
        registry = Registry(
            store=DeviceTable(database),
            open_transport=partial(
                open_transport, lock_folder=folder / "locks", links=lambda link_id: links.link(link_id)
            ),
            load_board=load_board,
        )
        parts = LinkParts(
            links=LinkTable(database, now_ms=now_ms, random_bytes=os.urandom),
            events=LinkEventTable(database),
            clock=SystemClock(),
            new_id=lambda: os.urandom(16),
            publish=published.add,
            owner_of=registry.owner_of,
            tasks=DeviceTasks(LinkTaskTable(database)),
        )
        links = await LinkRegistry.open(parts)
        await stack.enter_async_context(registry)
        if runner is not None and parts.tasks is not None:
            await stack.enter_async_context(parts.tasks.serving(runner, links.link, code=code))
        meter = WatchedMeter()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        supervised = SupervisedTasks(group, now_ms=now_ms, sleep=sleep)
        listener = stack.enter_context(tcp_listener("127.0.0.1", port))
        authority = await Authority.open(folder / "identity", IdentityTable(database), lan_names, now_ms=now_ms)
        renewing = supervised.start("renew the certificate", authority.renew_if_due, every_s=renewal_check_s)
        stack.callback(renewing.cancel)
        opened = LinkServer(
            links,
            registry,
            database,
            authority=authority,
            listening=listener,
            limits=limits,
            now_ms=now_ms,
            record=audited.append,
        )
        opened.meter = meter
        await stack.enter_async_context(opened.serving())
        opened.start()
        await opened.started()
        yield Plane(opened, links, registry, database, published, meter, audited)


@pytest.fixture
def start_plane() -> Any:
    """`running_plane`, for tests that start one more than once."""
    return running_plane


@pytest.fixture
def scripted() -> Callable[[Plane], ScriptedDevice]:
    """A device of that plane, not paired yet."""
    return lambda plane: ScriptedDevice(plane.plane.address, plane.ca)


@pytest.fixture
def device(plane: Plane, scripted: Callable[[Plane], ScriptedDevice]) -> ScriptedDevice:
    """Not paired yet."""
    return scripted(plane)


@pytest.fixture
async def paired(plane: Plane, device: ScriptedDevice) -> ScriptedDevice:
    """Paired by a token, called lamp, not connected."""
    await device.pair(lambda code: plane.plane.pair(code, name="lamp"))
    return device
