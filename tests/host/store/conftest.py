"""A database in a folder of its own: one suite for SQLite and for PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.host.store.two_hosts import two_hosts
from tests.stores import new_store

from microclaw.host.store.database import Database


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "store.db"


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, store_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        async with Database.open(new_store(store_path)) as database:
            yield database
    else:
        async with two_hosts(request.getfixturevalue("database_url")) as (replica, _):
            yield replica
