"""A code that one host gave, or that a device shows there, is good at every host, and once."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from tests.cluster.two_hosts import ClusterHost, Fleet
from tests.link_server.scripted import ScriptedDevice
from tests.store.two_hosts import until

from microclaw.devices.device import Device
from microclaw.errors import ConfigError, DeviceUnreachable, UnknownName
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import PairRequest


def stranger(host: ClusterHost, fleet: Fleet) -> ScriptedDevice:
    """A device that reaches this host and was never paired."""
    return ScriptedDevice(host.plane.plane.address, host.plane.ca, folder=fleet.folder)


async def test_a_device_that_reached_one_host_is_paired_by_its_code_at_another(
    east: ClusterHost, west: ClusterHost, fleet: Fleet
) -> None:
    spot = stranger(west, fleet)

    async def typed(code: str) -> None:
        assert [one.board for one in await east.plane.plane.waiting()] == ["virtual"]
        with pytest.raises(ConfigError):
            await east.plane.plane.pair(code, name="lamp")  # its code stays good
        device = await east.plane.plane.pair(f"{code[:3]} {code[3:]}", name="spot", by="Ada")
        assert device is east.device("spot")
        for host in (east, west):
            with pytest.raises(UnknownName):
                await host.plane.plane.pair(code, name="again")

    await spot.pair(typed)
    (done,) = [event for event in west.plane.audited if event.kind == "pairing.done"]
    assert done.by == "Ada"
    spot.address = east.plane.plane.address
    async with spot.connected():
        await spot.until_ready()
    assert not await east.plane.plane.waiting()


async def test_a_code_that_two_hosts_get_at_once_pairs_one_device(
    east: ClusterHost, west: ClusterHost, fleet: Fleet
) -> None:
    async with fleet.host("north") as north:
        await north.sees(east, west)
        outcomes: list[Any] = []

        async def typed(code: str) -> None:
            names = ((host, host.host_id) for host in (east, north, west))
            typing = (host.plane.plane.pair(code, name=name) for host, name in names)
            outcomes.extend(await asyncio.gather(*typing, return_exceptions=True))

        await stranger(west, fleet).pair(typed)
        (device,) = [one for one in outcomes if isinstance(one, Device)]
        errors = [one for one in outcomes if not isinstance(one, Device)]
        assert all(isinstance(one, UnknownName | DeviceUnreachable) for one in errors), errors
        for host in (east, west, north):
            await until(partial(_has, host, {"lamp", device.name}))


def _has(host: ClusterHost, names: set[str]) -> bool:
    return {one.name for one in host.plane.registry.list()} == names


async def test_while_the_database_is_away_a_device_gets_no_code_and_is_to_come_again(
    east: ClusterHost, west: ClusterHost, fleet: Fleet
) -> None:
    spot = stranger(west, fleet)
    west.wire.cut()
    async with spot.connected(PairRequest("virtual", token_wanted=True)):
        assert await spot.until_closed() == CloseCode.OVERLOADED
    await west.wire.mend()
    await spot.pair(lambda code: east.plane.plane.pair(code, name="spot"))
