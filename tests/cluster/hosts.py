"""Hosts of one database in this process, each on a wire that can be cut: whole ones, or their leases alone."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientSession
from tests.link_server.scripted import ScriptedDevice

from microclaw.api.host import Host
from microclaw.app import running_host
from microclaw.cluster.hosts import Hosts
from microclaw.cluster.operations import HostFacts
from microclaw.config.load import load_settings
from microclaw.config.settings import ClusterSettings, LinkSettings
from microclaw.devices.device import Device
from microclaw.operations.client import Client
from microclaw.store.postgres import SharedDatabase
from microclaw.store.schema import VERSION
from microclaw.wire.link.messages import PairDone, PairRequest

PATIENCE_S = 60


@asynccontextmanager
async def host_in(
    url: str, host_id: str, *, devices: int = 0, home: str | None = None, calls: Callable[[], str | None] = lambda: None
) -> AsyncIterator[tuple[SharedDatabase, Hosts]]:
    """Its name is its id without the last part; its home its own unless `home` says another."""

    def facts() -> HostFacts:
        return HostFacts(host_id.rpartition("-")[0], "1.0", VERSION, devices, None, None, calls(), 0, 0)

    async with (
        SharedDatabase.opened(url, host_id) as database,
        Hosts.joined(database, facts, host_id=host_id, home=home or host_id) as hosts,
    ):
        yield database, hosts


@dataclass(frozen=True)
class WholeHost:
    """`microclaw up --database` but for the process."""

    name: str
    host: Host
    client: Client
    wire: Wire

    @property
    def link(self) -> str:
        """Where devices connect."""
        assert self.host.link is not None
        return self.host.link.address

    async def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST with a body, else GET, on its control socket."""
        if body is None:
            return await asyncio.to_thread(self.client.get, path)
        return await asyncio.to_thread(self.client.post, path, body)

    async def until(self, path: str, condition: Callable[[Any], object]) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            while not condition(found := await self.ask(path)):  # noqa: ASYNC110  another host sets no event here
                await asyncio.sleep(0.02)
        return found

    async def sees(self, *names: str) -> None:
        """These hosts, and no others beside itself, and where they can be asked."""
        wanted = dict.fromkeys((self.name, *names), True)

        def sees(facts: Any) -> bool:
            told = [one["facts"] for one in facts["cluster"]["hosts"]]
            return {one["name"]: one["calls"] is not None for one in told} == wanted

        await self.until("/v1/cluster", sees)

    def device(self, name: str = "lamp") -> Device:
        return self.host.devices.get(name)

    def online(self, name: str = "lamp") -> bool:
        """Whether it is connected to one of the hosts, and what it offers is known here."""
        device = self.device(name)
        return bool(device.transports[0].online and device.capabilities)  # type: ignore[attr-defined]

    async def asked(self, token: str, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Status and answer of one request over HTTP with the token."""
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            ClientSession(base_url=self.host.http, headers=headers) as session,
            session.request(method, path, json=body) as answer,
        ):
            return answer.status, await answer.json(content_type=None)


def copy_identity(first: Path, home: Path) -> None:
    """One authority for all."""
    home.mkdir(mode=0o700, exist_ok=True)
    shutil.copytree(first / "identity", home / "identity", dirs_exist_ok=True)


@asynccontextmanager
async def whole_host(url: str, home: Path, *, like: Path | None = None) -> AsyncIterator[WholeHost]:
    """Its name is that of its home. It has the authority of the home `like`."""
    if like is not None:
        copy_identity(like, home)
    settings = load_settings({}, home=home, http_port=0, link=LinkSettings(port=0, plain=True))
    async with wire_to(url) as wire:
        cluster = ClusterSettings(database=wire.url, host=home.name)
        async with running_host(replace(settings, cluster=cluster)) as host:
            yield WholeHost(home.name, host, Client(settings.control_socket), wire)


async def paired(host: WholeHost, name: str = "lamp") -> ScriptedDevice:
    """A device that dials this host, not connected."""
    made = await host.ask("/v1/devices/provision", {"name": name})
    device = ScriptedDevice(host.link, "")
    async with device.connected(PairRequest(device.board, token_wanted=True, secret=made["secret"])):
        device.token = (await device.next(PairDone)).token
    return device


@dataclass
class Leases:
    """Who is alive, as all hosts see it. `end` is what the end of a lease is."""

    dead: set[str] = field(default_factory=set)
    listeners: list[Callable[[], object]] = field(default_factory=list)

    def end(self, host_id: str) -> None:
        self.dead.add(host_id)
        for changed in self.listeners:
            changed()


@dataclass
class Seat:
    """A `microclaw.live_hosts.Fleet`."""

    host_id: str
    leases: Leases

    def is_live(self, host_id: str) -> bool:
        return host_id not in self.leases.dead

    def listen(self, changed: Callable[[], object]) -> None:
        self.leases.listeners.append(changed)


@asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[Wire]:
    """A way to the database that can be cut, and mended."""
    wire = Wire(url)
    await wire.mend()
    try:
        yield wire
    finally:
        wire.cut()


class Wire:
    """After `cut` nothing comes through any more, and nobody can connect, until `mend`."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._far, self._near = place.port, 0
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._place = place

    @property
    def url(self) -> str:
        return self._place._replace(netloc=f"{self._place.username}@127.0.0.1:{self._near}").geturl()

    async def mend(self) -> None:
        """Let connect, under the same address as before."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._near)
        self._near = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._far)
        except OSError:  # the server is away
            writer.transport.abort()
            return
        self._ends.add(far_writer)
        await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
