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


@pytest.fixture
def east(database: Database) -> View:
    return View(database, "east")


@pytest.fixture
def west(database: Database) -> View:
    return View(database, "west")


async def test_the_newer_connection_wins_and_the_host_of_the_older_hears_of_it(east: View, west: View) -> None:
    older = await east.take("lamp")
    newer = await west.take("lamp")
    await east.refresh()
    assert (east.closed, west.closed, newer > older) == (["lamp"], [], True)
    assert (east.host_of("lamp"), east.here, west.here) == ("west", 0, 1)


async def test_an_older_connection_is_closed_also_when_the_newer_one_has_left_meanwhile(east: View, west: View) -> None:
    await east.take("lamp")
    await west.leave("lamp", await west.take("lamp"))
    await east.refresh()
    assert east.closed == ["lamp"]
    assert east.here == 0


async def test_a_connection_that_was_replaced_before_it_was_complete_knows_it(
    east: View, west: View, database: Database
) -> None:
    """Another host took the device, and this one saw it, before this host's own take came back."""
    older = await LinkHolderTable(database).take("lamp", "east")
    newer = await west.take("lamp")
    await east.refresh()
    assert east.has_newer("lamp", older)
    assert not east.has_newer("lamp", newer)
    assert not west.has_newer("lamp", newer)


async def test_a_device_that_left_is_no_more_counted_here(east: View) -> None:
    fence = await east.take("lamp")
    await east.leave("lamp", fence)
    assert (east.here, east.place_of("lamp")) == (0, None)
    await east.refresh()
    assert (east.here, east.place_of("lamp"), east.closed) == (0, None, [])


async def test_a_removed_devices_fence_is_never_given_again(east: View, west: View, database: Database) -> None:
    await west.take("bulb")
    links = LinkTable(database, now_ms=lambda: 0, random_bytes=bytes)
    last = await east.take("lamp")
    await west.refresh()
    await links.forget("lamp")
    assert await east.take("bulb") > last
    await west.refresh()
    assert west.closed == ["bulb"]
