"""Hosts of one database in one process: each with its lease, its way to the database and its device plane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.hosts_of_tests import Wire, host_in, wire_to
from tests.link_server.conftest import Plane, PlaneInCluster, running_plane
from tests.link_server.scripted import ScriptedDevice
from tests.store.two_hosts import until

from microclaw.auth.authority import AUTHORITY_FILE
from microclaw.auth.certificates import KeyPair
from microclaw.cluster.codes import share_codes
from microclaw.cluster.hosts import Hosts
from microclaw.cluster.ports_elsewhere import port_elsewhere
from microclaw.cluster.remote_calls import DeviceCalls, RemoteCalls
from microclaw.cluster.requests import HostRequests
from microclaw.devices.device import Device, Transport
from microclaw.devices.machine import Machine
from microclaw.link_server.device_link import DeviceLink
from microclaw.link_server.holding import LinkHolding
from microclaw.link_server.limits import LinkLimits
from microclaw.link_server.other_hosts import OtherHosts
from microclaw.store.link_holders import LinkHolderTable
from microclaw.store.postgres import SharedDatabase
from microclaw.wire.link.messages import Event


@dataclass
class Fleet:
    """Where hosts are started."""

    url: str
    folder: Path

    def authority(self) -> KeyPair:
        return KeyPair.from_pem((self.folder / "identity" / AUTHORITY_FILE).read_bytes())

    @asynccontextmanager
    async def host(self, name: str) -> AsyncIterator[ClusterHost]:
        folder, host_id = self.folder / name, f"{name}-0001"
        folder.mkdir()
        address: str | None = None
        async with AsyncExitStack() as stack:
            wire = await stack.enter_async_context(wire_to(self.url))
            joining = host_in(wire.url, host_id, calls=lambda: address)
            database, hosts = await stack.enter_async_context(joining)
            holding = LinkHolding(LinkHolderTable(database), host_id, lambda host: hosts.is_live(host))
            requests, made = HostRequests(hosts), list[RemoteCalls]()

            def remote(owner_of: Callable[[str], Device | None]) -> RemoteCalls:
                made.append(RemoteCalls(requests, holding.host_of, owner_of))
                return made[0]

            def elsewhere(transport: Transport, host: str) -> Transport:
                return port_elsewhere(transport, host, made[0], hosts.of_name)

            parts = PlaneInCluster(database, holding, remote, self.folder / "identity", Machine(name, elsewhere))
            plane = await stack.enter_async_context(running_plane(folder, LinkLimits(), cluster=parts))
            holding.replaced = plane.links.replaced
            others = OtherHosts(plane.links, holding, tuple)
            database.listen(others.changed)
            hosts.listeners.append(lambda _came, _went: others.hosts_changed())
            following = asyncio.create_task(others.run(), name=f"{name} follows the others")
            stack.push_async_callback(_ended, following)
            calls = DeviceCalls(requests, plane.registry.owner_of, lambda link_id: plane.links.link(link_id).fence)
            share_codes(requests, plane.plane.identity)
            serving = requests.serving(self.authority(), "127.0.0.1", 0, folder)
            address = await stack.enter_async_context(serving)
            yield ClusterHost(host_id, plane, database, hosts, holding, requests, calls, wire)


@dataclass
class ClusterHost:
    host_id: str
    plane: Plane
    database: SharedDatabase
    hosts: Hosts
    holding: LinkHolding
    requests: HostRequests
    calls: DeviceCalls
    wire: Wire

    def device(self, name: str) -> Device:
        return self.plane.registry.get(name)

    def link(self, link_id: str) -> DeviceLink:
        return self.plane.links.link(link_id)

    async def sees(self, *others: ClusterHost) -> None:
        """And they see it, with where each is called."""
        for one, other in [(self, other) for other in others] + [(other, self) for other in others]:
            await until(lambda one=one, other=other: (f := one.hosts.live.get(other.host_id)) and f.calls)  # type: ignore[misc]


def link_id_of(host: ClusterHost) -> str:
    return host.device("lamp").endpoints[0].removeprefix("link:")


async def sees_lamp_elsewhere(host: ClusterHost) -> None:
    link = host.link(link_id_of(host))
    await until(lambda: link.other_host is not None and link.capabilities)


async def told(device: ScriptedDevice, number: int) -> None:
    """An event of the device is acked: its host has written all before it."""
    await device.until_ready()
    await device.send(Event("tick", {"n": number}))
    await until(lambda: not device.outbox.rows)


def moved_to(host: ClusterHost, device: ScriptedDevice) -> ScriptedDevice:
    """The same device, which dials that host."""
    address = host.plane.plane.address
    return ScriptedDevice(address, device.ca, folder=device.folder, token=device.token, boot_id=device.boot_id)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))
