"""A real NATS server with JetStream, one for all tests of a file: each test takes a cluster's name of its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.cluster.nats_servers import NatsServer, one_server
from tests.cluster.two_hosts import ClusterHost, Fleet
from tests.link_server.scripted import ScriptedDevice


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with one_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def cluster_name() -> str:
    """Nobody else's on the server."""
    return f"t{secrets.token_hex(4)}"


@pytest.fixture
def fleet(nats_server: NatsServer, cluster_name: str, tmp_path: Path) -> Fleet:
    return Fleet(nats_server.url, cluster_name, tmp_path)


@pytest.fixture
async def east(fleet: Fleet) -> AsyncIterator[ClusterHost]:
    async with fleet.host("east") as host:
        yield host


@pytest.fixture
async def lamp(east: ClusterHost, tmp_path: Path) -> ScriptedDevice:
    """Paired with the cluster by way of the east, not connected."""
    device = ScriptedDevice(east.plane.plane.address, east.plane.ca, folder=tmp_path)
    await device.pair(lambda code: east.plane.plane.pair(code, name="lamp"))
    return device


@pytest.fixture
async def west(lamp: ScriptedDevice, fleet: Fleet) -> AsyncIterator[ClusterHost]:
    """A second host, which knows the lamp."""
    async with fleet.host("west") as host:
        yield host
