"""A database in a folder of its own: one suite for the embedded one and a cluster's copy over a real NATS server."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.cluster.nats_servers import NatsServer, one_server
from tests.cluster.stores import open_replica

from microclaw.store.database import Database


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "store.db"


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One for all tests of this folder, made when the first asks; each test has a cluster of its own."""
    with one_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(params=["embedded", "cluster"])
async def database(request: pytest.FixtureRequest, store_path: Path) -> AsyncIterator[Database]:
    if request.param == "embedded":
        async with Database.open(store_path) as database:
            yield database
    else:
        server: NatsServer = request.getfixturevalue("store_server")
        async with open_replica(server, f"t{secrets.token_hex(4)}", store_path) as (replica, _):
            yield replica
