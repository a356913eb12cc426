"""Two hosts of a cluster: which has a device, and an ended credential that closes the connection at the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from tests.devices.link.conftest import Plane, running_plane
from tests.devices.link.scripted import ScriptedDevice
from tests.host.store.two_hosts import two_hosts, until

from microclaw.devices.link.device_ownership import DeviceOwnership
from microclaw.devices.link.limits import LinkLimits
from microclaw.events import DeviceLeft
from microclaw.host.store.database import Database
from microclaw.host.store.links import LinkHolderTable, LinkTable
from microclaw.wire.link.frame import CloseCode


@pytest.fixture
async def planes(tmp_path: Path, database_url: str) -> AsyncIterator[tuple[Plane, Plane]]:
    """Two hosts with one authority: they share the folder of the identity."""
    async with (
        two_hosts(database_url) as (a, b),
        running_plane(tmp_path, LinkLimits(), store=a) as here,
        running_plane(tmp_path, LinkLimits(), store=b) as there,
    ):
        yield here, there


@pytest.fixture
async def lamp(planes: tuple[Plane, Plane], scripted: Callable[[Plane], ScriptedDevice]) -> ScriptedDevice:
    """Paired at the first host, known to both."""
    here, there = planes
    device = scripted(here)
    await device.pair(lambda code: here.plane.pair(code, name="lamp"))
    await until(lambda: known(there) == ["lamp"])
    return device


def known(plane: Plane) -> list[str]:
    return [device.name for device in plane.registry.list()]


async def test_a_device_is_known_to_both_and_a_credential_that_ends_at_one_closes_the_connection_at_the_other(
    planes: tuple[Plane, Plane], lamp: ScriptedDevice, scripted: Callable[[Plane], ScriptedDevice]
) -> None:
    here, there = planes
    pair = partial(there.plane.pair, device="lamp")
    await end_at_the_other(here, lamp, lambda: scripted(there).pair(pair), {"revoked"})
    lamp.token = None
    await lamp.pair(partial(here.plane.pair, device="lamp"))
    lamp.address = there.plane.address
    async with lamp.connected():
        await lamp.ready.wait()
        assert [link.link_id for link in there.links.online] == [there.registry.get("lamp").device_id]
    lamp.address = here.plane.address
    await end_at_the_other(here, lamp, lambda: there.plane.revoke("lamp", by="Ada"), {"revoked"})
    lamp.token = None
    await lamp.pair(partial(here.plane.pair, device="lamp"))
    device_id = here.registry.get("lamp").device_id
    link = here.links.link(device_id)

    async def remove() -> None:
        await there.registry.remove("lamp")
        await there.plane.forget(device)

    device = there.registry.get("lamp")
    await end_at_the_other(here, lamp, remove, {"revoked", "removed"})  # whichever of the two was first seen
    await until(lambda: known(here) == [])
    assert here.links.link(device_id) is not link


async def end_at_the_other(
    here: Plane, lamp: ScriptedDevice, ends_it: Callable[[], Awaitable[object]], reasons: set[str]
) -> None:
    async with lamp.connected():
        await lamp.ready.wait()
        await ends_it()
        assert await lamp.until_closed() == CloseCode.REVOKED
        assert (await here.published.until(DeviceLeft)).reason in reasons
    await until(lambda: here.links.online == ())


class View(DeviceOwnership):
    """One host's, and which of its connections it was told to close."""

    def __init__(self, database: Database, host: str) -> None:
        super().__init__(LinkHolderTable(database), host, lambda _: True)
        self.closed: list[str] = []
        self.replaced = self.closed.append


async def test_the_newer_connection_wins_also_when_it_has_left_meanwhile(database: Database) -> None:
    east = View(database, "east")
    west = View(database, "west")
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
    east = View(database, "east")
    west = View(database, "west")
    older = await LinkHolderTable(database).take("lamp", "east")
    newer = await west.take("lamp")
    await east.refresh()
    assert east.has_newer("lamp", older)
    assert not east.has_newer("lamp", newer)
    assert not west.has_newer("lamp", newer)


async def test_a_removed_devices_fence_is_never_given_again(database: Database) -> None:
    east = View(database, "east")
    west = View(database, "west")
    await west.take("bulb")
    links = LinkTable(database, now_ms=lambda: 0, random_bytes=bytes)
    last = await east.take("lamp")
    await west.refresh()
    await links.forget("lamp")
    assert await east.take("bulb") > last
    await west.refresh()
    assert west.closed == ["bulb"]
