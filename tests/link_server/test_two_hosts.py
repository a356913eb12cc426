"""The end of a device's credential at one host of a cluster closes its connection at the other, with the same code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.link_server.conftest import Plane, running_plane
from tests.link_server.scripted import ScriptedDevice
from tests.store.two_hosts import two_hosts, until

from microclaw.events import DeviceLeft
from microclaw.link_server.limits import LinkLimits
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


async def revoke(there: Plane, _: Any) -> None:
    assert await there.plane.revoke("lamp", by="Ada") == 1


async def remove(there: Plane, _: Any) -> None:
    device = there.registry.get("lamp")
    await there.registry.remove("lamp")
    await there.plane.forget(device)


async def pair_again(there: Plane, twin: ScriptedDevice) -> None:
    await twin.pair(lambda code: there.plane.pair(code, device="lamp"))


@pytest.mark.parametrize(
    ("ends_it", "reasons"),
    [
        (revoke, ["revoked"]),
        (remove, ["revoked", "removed"]),  # whichever of the two changes was first seen
        (pair_again, ["revoked"]),
    ],
)
async def test_a_credential_that_ends_at_one_host_closes_the_connection_at_the_other(
    planes: tuple[Plane, Plane],
    lamp: ScriptedDevice,
    scripted: Callable[[Plane], ScriptedDevice],
    ends_it: Any,
    reasons: list[str],
) -> None:
    here, there = planes
    async with lamp.connected():
        await lamp.ready.wait()
        await ends_it(there, scripted(there))
        assert await lamp.until_closed() == CloseCode.REVOKED
        left = await here.published.until(DeviceLeft)
        assert left.reason in reasons
    await until(lambda: here.links.online == ())


async def test_a_device_that_another_host_removes_is_in_no_memory(
    planes: tuple[Plane, Plane], lamp: ScriptedDevice
) -> None:
    here, there = planes
    device = here.registry.get("lamp")
    link = here.links.link(device.device_id)
    await remove(there, None)
    await until(lambda: known(here) == [])
    assert here.links.link(device.device_id) is not link


async def test_a_device_that_was_paired_at_one_host_connects_to_the_other(
    planes: tuple[Plane, Plane], lamp: ScriptedDevice
) -> None:
    _, there = planes
    lamp.address = there.plane.address
    async with lamp.connected():
        await lamp.ready.wait()
        assert [link.link_id for link in there.links.online] == [there.registry.get("lamp").device_id]
