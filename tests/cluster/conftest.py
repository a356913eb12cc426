"""Two whole hosts that share one PostgreSQL database, and a device that both know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cluster.hosts import WholeHost, paired, whole_host
from tests.link_server.scripted import ScriptedDevice
from tests.store.two_hosts import until


@pytest.fixture
async def east(database_url: str, tmp_path: Path) -> AsyncIterator[WholeHost]:
    async with whole_host(database_url, tmp_path / "east") as host:
        yield host


@pytest.fixture
async def west(east: WholeHost, database_url: str, tmp_path: Path) -> AsyncIterator[WholeHost]:
    async with whole_host(database_url, tmp_path / "west", like=tmp_path / "east") as host:
        await host.sees("east")
        await east.sees("west")
        yield host


@pytest.fixture
async def lamp(east: WholeHost, west: WholeHost) -> ScriptedDevice:
    """Paired by way of the east, which it dials; not connected."""
    device = await paired(east)
    await until(lambda: [one.name for one in west.host.devices.list()] == ["lamp"])
    return device
