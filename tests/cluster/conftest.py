"""Hosts that share one PostgreSQL database, each behind a wire of its own that can be cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cluster.two_hosts import ClusterHost, Fleet
from tests.link_server.scripted import ScriptedDevice


@pytest.fixture
def fleet(database_url: str, tmp_path: Path) -> Fleet:
    return Fleet(database_url, tmp_path)


@pytest.fixture
async def east(fleet: Fleet) -> AsyncIterator[ClusterHost]:
    async with fleet.host("east") as host:
        yield host


@pytest.fixture
async def lamp(east: ClusterHost, tmp_path: Path) -> ScriptedDevice:
    """Paired with the fleet by way of the east, not connected."""
    device = ScriptedDevice(east.plane.plane.address, east.plane.ca, folder=tmp_path)
    await device.pair(lambda code: east.plane.plane.pair(code, name="lamp"))
    return device


@pytest.fixture
async def west(lamp: ScriptedDevice, east: ClusterHost, fleet: Fleet) -> AsyncIterator[ClusterHost]:
    """A second host, which knows the lamp."""
    async with fleet.host("west") as host:
        await host.sees(east)
        yield host
