"""The host of each device of a cluster, as two hosts with one store see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from microclaw.link_server.holding import LinkHolding
from microclaw.store.database import Database
from microclaw.store.links import LinkHolderTable, LinkTable


class View(LinkHolding):
    """One host's, and which of its connections it was told to close."""

    def __init__(self, database: Database, host: str) -> None:
        super().__init__(LinkHolderTable(database), host, lambda _: True)
        self.closed: list[str] = []
        self.replaced = self.closed.append


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(tmp_path / "store.db") as database:
        yield database


async def test_the_newer_connection_wins_also_when_it_has_left_meanwhile(database: Database) -> None:
    east, west = View(database, "east"), View(database, "west")
    older = await east.take("lamp")
    newer = await west.take("lamp")
    await east.refresh()
    assert (east.closed, west.closed, newer > older) == (["lamp"], [], True)
    assert (east.host_of("lamp"), east.here, west.here) == ("west", 0, 1)
    await east.take("lamp")
    await west.leave("lamp", await west.take("lamp"))
    await east.refresh()
    assert (east.closed, east.here, west.here) == (["lamp", "lamp"], 0, 0)
    assert west.place_of("lamp") is None


async def test_a_connection_that_was_replaced_before_it_was_complete_knows_it(database: Database) -> None:
    """Another host took the device, and this one saw it, before this host's own take came back."""
    east, west = View(database, "east"), View(database, "west")
    older = await LinkHolderTable(database).take("lamp", "east")
    newer = await west.take("lamp")
    await east.refresh()
    assert east.has_newer("lamp", older)
    assert not east.has_newer("lamp", newer)
    assert not west.has_newer("lamp", newer)


async def test_a_removed_devices_fence_is_never_given_again(database: Database) -> None:
    east, west = View(database, "east"), View(database, "west")
    await west.take("bulb")
    links = LinkTable(database, now_ms=lambda: 0, random_bytes=bytes)
    last = await east.take("lamp")
    await west.refresh()
    await links.forget("lamp")
    assert await east.take("bulb") > last
    await west.refresh()
    assert west.closed == ["bulb"]
