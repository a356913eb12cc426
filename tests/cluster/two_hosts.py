"""Hosts of one cluster in one process: each with its connection to NATS, its copy of the store and its device plane."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from microclaw.cluster.connection import Cluster, connected
from microclaw.cluster.shared_store import shared_store
from microclaw.store.replica import Replica
from tests.link_server.conftest import Plane, PlaneInCluster, running_plane
from tests.link_server.scripted import PATIENCE_S, ScriptedDevice

from microclaw.cluster.ports_elsewhere import port_elsewhere
from microclaw.cluster.remote_calls import MAX_RUNNING, DeviceCallServer, RemoteCalls
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.devices.device import Device, Transport
from microclaw.devices.machine import Machine
from microclaw.link_server.device_link import DeviceLink
from microclaw.link_server.holding import LinkHolding
from microclaw.link_server.limits import LinkLimits
from microclaw.link_server.other_hosts import OtherHosts
from microclaw.store.link_holders import LinkHolderTable


@dataclass
class Fleet:
    """Where hosts are started. `live` are those whose leases are good: a test ends one by taking its host out.

    `ended`: when such a host was there last.
    """

    url: str
    name: str
    folder: Path
    live: set[str] = field(default_factory=set)
    ended: dict[str, int] = field(default_factory=dict)

    @asynccontextmanager
    async def host(
        self, host_id: str, *, url: str | None = None, max_running: int = MAX_RUNNING
    ) -> AsyncIterator[ClusterHost]:
        folder = self.folder / host_id
        folder.mkdir()
        settings = ClusterSettings(nats=url or self.url, name=self.name)
        async with AsyncExitStack() as stack:
            cluster = await stack.enter_async_context(connected(settings, name=host_id))
            opening = shared_store(cluster, folder / "cluster.db", host=host_id)
            replica, _ = await stack.enter_async_context(opening)
            holding = LinkHolding(LinkHolderTable(replica), host_id, self.live.__contains__)
            made: list[RemoteCalls] = []

            def remote(owner_of: Callable[[str], Device | None]) -> RemoteCalls:
                made.append(RemoteCalls(cluster, host_id, holding.host_of, owner_of))
                return made[0]

            def elsewhere(transport: Transport, host: str) -> Transport:
                return port_elsewhere(transport, host, made[0], lambda name: name if name in self.live else None)

            machine = Machine(host_id, elsewhere)
            parts = PlaneInCluster(replica, holding, remote, self.folder / "identity", machine)
            plane = await stack.enter_async_context(running_plane(folder, LinkLimits(), cluster=parts))
            holding.replaced = plane.links.replaced
            others = OtherHosts(plane.links, holding, self.ended.items)
            replica.listen(others.changed)
            following = asyncio.create_task(others.run(), name=f"{host_id} follows the others")
            stack.push_async_callback(_ended, following)
            await stack.enter_async_context(made[0].serving())
            fence_of: Callable[[str], int] = lambda link_id: plane.links.link(link_id).fence  # noqa: E731
            server = DeviceCallServer(cluster, host_id, plane.registry.owner_of, fence_of, max_running=max_running)
            await stack.enter_async_context(server.serving())
            self.live.add(host_id)
            yield ClusterHost(host_id, plane, cluster, replica, holding, server, others)


@dataclass
class ClusterHost:
    host_id: str
    plane: Plane
    cluster: Cluster
    replica: Replica
    holding: LinkHolding
    server: DeviceCallServer
    others: OtherHosts

    def device(self, name: str) -> Device:
        return self.plane.registry.get(name)

    def link(self, link_id: str) -> DeviceLink:
        return self.plane.links.link(link_id)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for what another host's writes change here."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - its view of the others tells nobody of every change
                await asyncio.sleep(0.01)


def link_id_of(host: ClusterHost) -> str:
    return host.device("lamp").endpoints[0].removeprefix("link:")


async def sees_lamp_elsewhere(host: ClusterHost) -> None:
    link = host.link(link_id_of(host))
    await host.until(lambda: link.other_host is not None and link.capabilities)


async def sees_after_ready(host: ClusterHost, device: ScriptedDevice) -> None:
    async with device.connected():
        await device.until_ready()
        await sees_lamp_elsewhere(host)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    """A way to the port on this machine that can be cut, and mended."""
    wire = Wire(port)
    await wire.mend()
    try:
        yield wire
    finally:
        wire.cut()


class Wire:
    """After `cut` nothing comes through any more, and nobody can connect, until `mend`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._own_port = 0
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._own_port}"

    async def mend(self) -> None:
        """Let connect, under the same address as before."""
        self._server = await asyncio.start_server(self.carry, "127.0.0.1", self._own_port)
        self._own_port = self._server.sockets[0].getsockname()[1]

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._ends.add(far_writer)
        async with asyncio.TaskGroup() as both:
            both.create_task(_pass(reader, far_writer))
            both.create_task(_pass(far_reader, writer))

    def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
