"""A database in a folder of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from microclaw.store.database import Database


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "store.db"


@pytest.fixture
async def database(store_path: Path) -> AsyncIterator[Database]:
    async with Database.open(store_path) as database:
        yield database
