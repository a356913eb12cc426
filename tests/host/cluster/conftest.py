"""Two whole hosts that share one PostgreSQL database: one pair for a file, so a test leaves them as it found them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.devices.link.scripted import ScriptedDevice
from tests.host.cluster.hosts import WholeHost, paired, whole_host
from tests.host.store.two_hosts import until
from tests.postgres import PostgresServer


@pytest.fixture(scope="module")
def shared_url(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def east(shared_url: str, homes: Path) -> AsyncIterator[WholeHost]:
    async with whole_host(shared_url, homes / "east") as host:
        yield host


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def west(east: WholeHost, shared_url: str, homes: Path) -> AsyncIterator[WholeHost]:
    async with whole_host(shared_url, homes / "west", like=east.home) as host:
        await host.sees("east")
        await east.sees("west")
        yield host


@pytest_asyncio.fixture(loop_scope="module")
async def lamp(east: WholeHost, west: WholeHost) -> AsyncIterator[ScriptedDevice]:
    """Paired by way of the east, which it dials; not connected."""
    device = await paired(east)
    await until(lambda: "lamp" in [one.name for one in west.host.devices.list()])
    yield device
    await asyncio.to_thread(east.client.delete, "/v1/devices/lamp")
    await until(lambda: "lamp" not in [one.name for one in west.host.devices.list()])
