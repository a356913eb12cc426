"""Hosts of one database in this process, each with connections of its own; and leases that a test ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from microclaw.cluster.hosts import HostFacts, Hosts
from microclaw.store.postgres import SharedDatabase
from microclaw.store.schema import VERSION

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


@dataclass
class Leases:
    """Who is alive, as all hosts see it. `end` is what the end of a lease is."""

    dead: set[str] = field(default_factory=set)
    listeners: list[Callable[[str], None]] = field(default_factory=list)

    def end(self, host_id: str) -> None:
        self.dead.add(host_id)
        for left in self.listeners:
            left(host_id)


@dataclass
class Seat:
    """A `microclaw.live_hosts.Fleet`."""

    host_id: str
    leases: Leases

    def is_live(self, host_id: str) -> bool:
        return host_id not in self.leases.dead

    def listen(self, left: Callable[[str], None]) -> None:
        self.leases.listeners.append(left)


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
