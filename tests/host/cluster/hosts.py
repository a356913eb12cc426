"""Hosts of one database in this process, whole ones or their leases alone, that can be cut off from it."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from aiohttp import ClientSession
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.devices.link.scripted import ScriptedDevice

from microclaw.app import running_host
from microclaw.devices.registry.device import Device
from microclaw.host.auth.authority import AUTHORITY_FILE
from microclaw.host.cluster.hosts import Hosts
from microclaw.host.cluster.results import HostFacts
from microclaw.host.config.load import load_settings
from microclaw.host.config.settings import ClusterSettings, LinkSettings
from microclaw.host.operations.client import Client
from microclaw.host.store.postgres import SharedDatabase
from microclaw.host.store.schema import VERSION
from microclaw.interfaces.api.host import HostInfo
from microclaw.wire.link.messages import PairDone, PairRequest

PATIENCE_S = 60


@asynccontextmanager
async def host_in(
    url: str, host_id: str, *, home: str | None = None, calls: Callable[[], str | None] = lambda: None
) -> AsyncIterator[tuple[SharedDatabase, Hosts]]:
    """Its name is its id without the last part; its home its own unless `home` says another."""

    def facts() -> HostFacts:
        return HostFacts(host_id.rpartition("-")[0], "1.0", VERSION, 0, None, None, calls(), 0, 0)

    async with (
        SharedDatabase.opened(url, host_id) as database,
        Hosts.join(database, facts, host_id=host_id, home=home or host_id) as hosts,
    ):
        yield database, hosts


@dataclass
class Leases:
    """The living hosts, as all hosts see them. `end` is the end of a lease."""

    dead: set[str] = field(default_factory=set)
    listeners: list[Callable[[], object]] = field(default_factory=list)

    def end(self, host_id: str) -> None:
        self.dead.add(host_id)
        for changed in self.listeners:
            changed()


@dataclass
class Seat:
    """A `microclaw.host.cluster.live_hosts.Fleet`."""

    host_id: str
    leases: Leases

    def is_live(self, host_id: str) -> bool:
        return host_id not in self.leases.dead

    def listen(self, changed: Callable[[], object]) -> None:
        self.leases.listeners.append(changed)


@dataclass(frozen=True)
class WholeHost:
    """`microclaw up --database` but for the process."""

    name: str
    host: HostInfo
    client: Client
    way: Way
    home: Path

    @property
    def link(self) -> str:
        """The address that devices connect to."""
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

    async def sees(self, *names: str) -> Any:
        """These hosts, and no others beside itself, and where they can be asked."""
        wanted = dict.fromkeys((self.name, *names), True)

        def sees(facts: Any) -> bool:
            told = [one["facts"] for one in facts["cluster"]["hosts"]]
            return {one["name"]: one["calls"] is not None for one in told} == wanted

        return (await self.until("/v1/cluster", sees))["cluster"]

    def device(self, name: str = "lamp") -> Device:
        return self.host.devices.get(name)

    def online(self, name: str = "lamp") -> bool:
        """True if it is connected to one of the hosts, and its offer is known here."""
        device = self.device(name)
        return bool(device.transports[0].online and device.capabilities)

    def knows(self, name: str) -> bool:
        """As `online`, and False where the device is not known here yet."""
        return name in [one.name for one in self.host.devices.list()] and self.online(name)

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


def authority_of(home: Path) -> str:
    """The certificate of the authority, as a device has it."""
    found = x509.load_pem_x509_certificate((home / "identity" / AUTHORITY_FILE).read_bytes())
    return found.public_bytes(Encoding.PEM).decode()


@asynccontextmanager
async def whole_host(url: str, home: Path, *, like: Path | None = None) -> AsyncIterator[WholeHost]:
    """Its name is that of its home. It has the authority of the home `like`."""
    if like is not None:
        copy_identity(like, home)
    settings = load_settings({}, home=home, http_port=0, link=LinkSettings(port=0))
    way = Way(url)
    async with running_host(replace(settings, cluster=ClusterSettings(database=way.url, host=home.name))) as host:
        yield WholeHost(home.name, host, Client(settings.control_socket), way, home)


async def paired(host: WholeHost, name: str = "lamp") -> ScriptedDevice:
    """A device that dials this host, not connected."""
    made = await host.ask("/v1/devices/provision", {"name": name})
    device = ScriptedDevice(host.link, authority_of(host.home))
    async with device.connected(PairRequest(device.board, token_wanted=True, secret=made["secret"])):
        device.token = (await device.next(PairDone)).token
    return device


class Way:
    """A host's own user of the database: cut off, it loses its connections, and gets none until `mend`."""

    def __init__(self, url: str) -> None:
        self._server_url, self._user = url, f"host_{secrets.token_hex(4)}"
        self.url = urlsplit(url)._replace(netloc=f"{self._user}@{urlsplit(url).netloc.partition('@')[2]}").geturl()
        self._run(f"CREATE ROLE {self._user} SUPERUSER LOGIN")

    def cut(self) -> None:
        end = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{self._user}'"
        self._run(f"ALTER ROLE {self._user} NOLOGIN; {end}")

    def mend(self) -> None:
        self._run(f"ALTER ROLE {self._user} LOGIN")

    def _run(self, statements: str) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(statements.encode())
