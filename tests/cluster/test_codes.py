"""Over a real NATS server: a code that one host gave, or that a device shows there, is good at every host, and once."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.nats_servers import NatsServer
from tests.cluster.test_roles import host_with
from tests.cluster.two_hosts import ClusterHost, Fleet, wire_to
from tests.link_server.scripted import ScriptedDevice

from microclaw.devices.device import Device
from microclaw.errors import ConfigError, DeviceUnreachable, UnknownName
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import PairCode, PairRequest


def stranger(host: ClusterHost) -> ScriptedDevice:
    """A device that reaches this host and was never paired."""
    return ScriptedDevice(host.plane.plane.address, host.plane.ca, folder=host.plane.database.path.parent)


async def test_a_device_that_reached_one_host_is_paired_by_its_code_at_another(
    east: ClusterHost, west: ClusterHost
) -> None:
    spot = stranger(west)

    async def typed(code: str) -> None:
        await east.until(lambda: [one.board for one in east.plane.plane.waiting()] == ["virtual"])
        with pytest.raises(ConfigError, match="there is a device named lamp already"):
            await east.plane.plane.pair(code, name="lamp")  # its code stays good
        device = await east.plane.plane.pair(f"{code[:3]} {code[3:]}", name="spot", by="Ada")
        assert device is east.device("spot")
        for host in (east, west):
            with pytest.raises(UnknownName, match="no device waits with that code"):
                await host.plane.plane.pair(code, name="again")

    await spot.pair(typed)
    (done,) = [event for event in west.plane.audited if event.kind == "pairing.done"]
    assert done.by == "Ada"
    spot.address = east.plane.plane.address
    async with spot.connected():
        await spot.until_ready()
    await east.until(lambda: not east.plane.plane.waiting())


async def test_a_known_device_is_paired_again_by_a_code_at_another_host(
    east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice
) -> None:
    again = stranger(west)
    device = await again.pair(lambda code: east.plane.plane.pair(code, device="lamp"))
    assert device is east.device("lamp")
    assert [one.name for one in west.plane.registry.list()] == ["lamp"]


async def test_a_code_that_two_hosts_get_at_once_pairs_one_device(
    east: ClusterHost, west: ClusterHost, fleet: Fleet
) -> None:
    async with fleet.host("north") as north:
        outcomes: list[Any] = []

        async def typed(code: str) -> None:
            names = ((host, host.host_id) for host in (east, north, west))
            typing = (host.plane.plane.pair(code, name=name) for host, name in names)
            outcomes.extend(await asyncio.gather(*typing, return_exceptions=True))

        await stranger(west).pair(typed)
        (device,) = [one for one in outcomes if isinstance(one, Device)]
        errors = [one for one in outcomes if not isinstance(one, Device)]
        assert all(isinstance(one, UnknownName | DeviceUnreachable) for one in errors), errors
        for host in (east, west, north):
            await host.until(partial(_has, host, {"lamp", device.name}))


def _has(host: ClusterHost, names: set[str]) -> bool:
    return {one.name for one in host.plane.registry.list()} == names


async def test_the_code_of_a_device_that_went_away_pairs_nothing_at_another_host(
    east: ClusterHost, west: ClusterHost
) -> None:
    spot = stranger(west)
    async with spot.connected(PairRequest("virtual", token_wanted=True)):
        code = (await spot.next(PairCode)).code
    await west.until(lambda: not west.plane.plane.pending)
    with pytest.raises((UnknownName, DeviceUnreachable)):
        await east.plane.plane.pair(code, name="spot")
    assert [one.name for one in west.plane.registry.list()] == ["lamp"]


async def test_while_nats_is_away_a_device_gets_no_code_and_is_to_come_again(
    nats_server: NatsServer, east: ClusterHost, fleet: Fleet
) -> None:
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(wire_to(nats_server.port))
        west = await stack.enter_async_context(fleet.host("west", url=wire.url))
        spot = stranger(west)
        wire.cut()
        async with spot.connected(PairRequest("virtual", token_wanted=True)):
            assert await spot.until_closed() == CloseCode.OVERLOADED
        await wire.mend()
        await spot.pair(lambda code: east.plane.plane.pair(code, name="spot"))


async def test_a_sign_in_link_of_one_host_opens_the_page_of_another_once(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    async with (
        host_with(nats_server.url, cluster_name, tmp_path / "attic", "agent,api") as attic,
        host_with(nats_server.url, cluster_name, tmp_path / "cellar", "agent,api") as cellar,
    ):
        made = await attic.ask("/v1/signin/links", {"person": "owner"})
        code = made["path"].partition("#")[2]
        assert cellar.host.http is not None
        assert await asyncio.to_thread(_signed_in, cellar.host.http, code) == "owner"
        for host in (attic, cellar):
            assert host.host.http is not None
            assert await asyncio.to_thread(_signed_in, host.host.http, code) is None


def _signed_in(url: str, code: str) -> str | None:
    """Whom the code signs in; None for nobody."""
    body, headers = json.dumps({"code": code}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/signin/code", body, headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return str(json.load(answer)["name"])
    except urllib.error.HTTPError as exc:
        if exc.code != 401:
            raise
        return None
