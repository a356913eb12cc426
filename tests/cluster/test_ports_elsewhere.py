"""Boards on a port of one host's machine: that host does what is asked at another, over a real NATS server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from tests.cluster.stores import open_cluster
from tests.cluster.two_hosts import ClusterHost, Fleet

from microclaw.app.cluster import HostCluster
from microclaw.cluster.migrating import migrate_to
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.devices.calls import AppList, DeviceInfo, GpioGet, PinLevel
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.store.database import Database
from microclaw.store.devices import DeviceRow, DeviceTable
from microclaw.virtual_boards.process import VirtualBoardProcess

PORT = "serial:/dev/nothing-is-here"
BUSY = "console:/dev/nothing-is-here"


@pytest.fixture
async def plain_west(east: ClusterHost, fleet: Fleet) -> Any:
    async with fleet.host("west") as host:
        yield host


def names(host: ClusterHost) -> set[str]:
    return {device.name for device in host.plane.registry.list()}


async def test_a_virtual_board_of_another_host_is_asked_there(east: ClusterHost, plain_west: ClusterHost) -> None:
    west = plain_west
    async with VirtualBoardProcess() as board:
        await west.plane.registry.add("desk", "virtual", board.ready.transports)
        await east.until(lambda: "desk" in names(east))
        device = east.device("desk")
        assert device.host == "west"
        assert device.kinds == ("wasm",)
        assert await device.call(GpioGet(4)) == PinLevel(4, 0)
        assert await device.call(AppList()) == ()
        assert (await device.call(DeviceInfo())).values
        assert west.server.served >= 3
        assert east.server.served == 0
    with pytest.raises(DeviceUnreachable):  # the other host's words
        await device.call(AppList())


async def test_while_its_host_is_away_the_answer_names_it(
    east: ClusterHost, plain_west: ClusterHost, fleet: Fleet
) -> None:
    await plain_west.plane.registry.add("desk", "virtual", [PORT])
    await east.until(lambda: "desk" in names(east))
    with pytest.raises(DeviceUnreachable, match="nothing-is-here"):
        await east.device("desk").call(GpioGet(4))
    assert plain_west.server.served == 0
    fleet.live.remove("west")
    with pytest.raises(DeviceUnreachable, match="on the machine of host west, which is away") as caught:
        await east.device("desk").call(GpioGet(4))
    assert "start microclaw on west" in str(caught.value.next_step)


async def test_two_hosts_have_a_board_each_on_a_port_of_one_name(east: ClusterHost, plain_west: ClusterHost) -> None:
    west = plain_west
    await east.plane.registry.add("here", "virtual", [PORT])
    await west.until(lambda: "here" in names(west))
    await west.plane.registry.add("there", "virtual", [PORT])
    await east.until(lambda: "there" in names(east))
    for host, own, other in ((east, "here", "there"), (west, "there", "here")):
        assert host.plane.registry.owner_of(PORT) is host.device(own)
        assert (host.device(own).host, host.device(own).endpoints) == (host.host_id, (PORT,))
        assert host.device(other).host != host.host_id
    with pytest.raises(ConfigError, match=f"{PORT} belongs to there already"):
        await west.plane.registry.add("third", "virtual", [PORT])
    with pytest.raises(ConfigError, match="here is on the machine of the host east, there on west's"):
        await west.plane.registry.merge("here", "there")


async def test_a_board_gets_no_port_at_a_second_host(east: ClusterHost, plain_west: ClusterHost) -> None:
    west = plain_west
    await east.plane.registry.add("here", "virtual", [PORT])
    await west.until(lambda: "here" in names(west))
    with pytest.raises(ConfigError, match="here is on the machine of the host east") as refused:
        await west.plane.registry.set_transports("here", [PORT, BUSY])
    assert "add it at the host east" in str(refused.value.next_step)
    await west.plane.registry.set_transports("here", [PORT, "wasmachine://192.0.2.7:8080"])
    await east.until(lambda: len(east.device("here").endpoints) == 2)
    assert east.device("here").host == west.device("here").host == "east"
    await east.plane.registry.set_transports("here", [PORT, BUSY])
    await west.until(lambda: west.device("here").endpoints == (PORT, BUSY))


async def test_a_host_looks_after_the_boards_of_its_machine_alone(east: ClusterHost, plain_west: ClusterHost) -> None:
    west = plain_west
    await west.plane.registry.add("desk", "virtual", [PORT])
    await west.plane.registry.add("roof", "virtual", ["wasmachine://192.0.2.7:8080"])
    await east.until(lambda: {"desk", "roof"} <= names(east))
    ours = {}
    for host in (east, west):
        none = cast("Any", None)
        cluster = HostCluster(f"{host.host_id}-00ff", host.cluster, none, none, none, none, host.holding, none, none)
        cluster.unconnected.is_held = host is east
        looks_after = cluster.looks_after(host.plane.registry)
        ours[host.host_id] = {name for name in names(host) if looks_after(host.device(name).device_id)}
    assert ours == {"east": {"roof"}, "west": {"desk"}}


async def test_a_store_that_is_moved_into_a_cluster_says_whose_its_ports_are(
    nats_server: Any, cluster_name: str, tmp_path: Path
) -> None:
    async with Database.open(tmp_path / "microclaw.db") as database:
        row = DeviceRow("d", "desk", "virtual", (), (PORT, "wasmachine://192.0.2.7:8080"), 0)
        await DeviceTable(database).put(row)
    settings = ClusterSettings(nats=nats_server.url, name=cluster_name, host="attic")
    await migrate_to(settings, tmp_path, replacing=False, dry_run=False)
    async with open_cluster(nats_server.url, cluster_name) as cluster:
        from microclaw.cluster.shared_store import shared_store

        async with shared_store(cluster, tmp_path / "cluster.db", host="h1") as (replica, _):
            (moved,) = await DeviceTable(replica).list()
    assert (moved.host, moved.transports) == ("attic", row.transports)
