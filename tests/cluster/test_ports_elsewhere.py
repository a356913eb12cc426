"""Boards on a port of one host's machine: that host does what is asked at another, over HTTPS between them."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.cluster.two_hosts import ClusterHost, Fleet
from tests.store.two_hosts import until

from microclaw.app.cluster import HostCluster
from microclaw.devices.calls import AppList, DeviceInfo, GpioGet, PinLevel
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.virtual_boards.process import VirtualBoardProcess

PORT = "serial:/dev/nothing-is-here"
BUSY = "console:/dev/nothing-is-here"


@pytest.fixture
async def plain_west(east: ClusterHost, fleet: Fleet) -> Any:
    async with fleet.host("west") as host:
        await host.sees(east)
        yield host


def names(host: ClusterHost) -> set[str]:
    return {device.name for device in host.plane.registry.list()}


async def test_a_virtual_board_of_another_host_is_asked_there(east: ClusterHost, plain_west: ClusterHost) -> None:
    west = plain_west
    async with VirtualBoardProcess() as board:
        await west.plane.registry.add("desk", "virtual", board.ready.transports)
        await until(lambda: "desk" in names(east))
        device = east.device("desk")
        assert device.host == "west"
        assert device.kinds == ("wasm",)
        assert await device.call(GpioGet(4)) == PinLevel(4, 0)
        assert await device.call(AppList()) == ()
        assert (await device.call(DeviceInfo())).values
        assert west.calls.served >= 3
        assert east.calls.served == 0
    with pytest.raises(DeviceUnreachable):  # the other host's words
        await device.call(AppList())


async def test_while_its_host_is_away_the_answer_names_it(east: ClusterHost, plain_west: ClusterHost) -> None:
    await plain_west.plane.registry.add("desk", "virtual", [PORT])
    await until(lambda: "desk" in names(east))
    with pytest.raises(DeviceUnreachable):
        await east.device("desk").call(GpioGet(4))
    assert plain_west.calls.served == 0
    plain_west.wire.cut()
    await until(lambda: not east.hosts.is_live(plain_west.host_id))
    with pytest.raises(DeviceUnreachable):
        await east.device("desk").call(GpioGet(4))


async def test_a_board_gets_no_port_at_a_second_host(east: ClusterHost, plain_west: ClusterHost) -> None:
    west = plain_west
    await east.plane.registry.add("here", "virtual", [PORT])
    await until(lambda: "here" in names(west))
    with pytest.raises(ConfigError):
        await west.plane.registry.set_transports("here", [PORT, BUSY])
    await west.plane.registry.set_transports("here", [PORT, "wasmachine://192.0.2.7:8080"])
    await until(lambda: len(east.device("here").endpoints) == 2)
    assert east.device("here").host == west.device("here").host == "east"
    await east.plane.registry.set_transports("here", [PORT, BUSY])
    await until(lambda: west.device("here").endpoints == (PORT, BUSY))


async def test_a_host_looks_after_the_boards_of_its_machine_alone(east: ClusterHost, plain_west: ClusterHost) -> None:
    west = plain_west
    await west.plane.registry.add("desk", "virtual", [PORT])
    await west.plane.registry.add("roof", "virtual", ["wasmachine://192.0.2.7:8080"])
    await until(lambda: {"desk", "roof"} <= names(east))
    ours = {}
    for host in (east, west):
        none = cast("Any", None)
        cluster = HostCluster(none, host.database, host.hosts, none, host.holding, none, none, none)
        cluster.unconnected.is_held = host is east
        looks_after = cluster.looks_after(host.plane.registry)
        ours[cluster.name] = {name for name in names(host) if looks_after(host.device(name).device_id)}
    assert ours == {"east": {"roof"}, "west": {"desk"}}
