"""The server for devices: its identity and listener, and what a person does: pair, provision.

It reads no message. linked_devices.py has what a person does with devices that are known.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from microclaw.addresses import bracketed, is_loopback
from microclaw.audit.event import Record, no_record
from microclaw.auth.authority import Authority
from microclaw.auth.pairing import SECRET_LIFE_MS, HostIdentity
from microclaw.auth.provisioning import Provision
from microclaw.devices.entry import check_name
from microclaw.devices.registry import Registry
from microclaw.devices.transport import LINK_SCHEME
from microclaw.errors import ConfigError
from microclaw.events import LiveEvent
from microclaw.link_server.limits import LinkLimits
from microclaw.link_server.linked_devices import DeviceRecorder, LinkedDevices
from microclaw.link_server.links import PATH, LinkRegistry
from microclaw.link_server.meter import LinkMeter
from microclaw.store.database import Database

if TYPE_CHECKING:
    from microclaw.link_server.listener import Listener


class LinkServer(LinkedDevices):
    """Made by `LinkServer.opened`; devices connect from `start` on."""

    def __init__(
        self,
        links: LinkRegistry,
        devices: Registry,
        identity: HostIdentity,
        listening: socket.socket,
        tasks: asyncio.TaskGroup,
        *,
        tls: ssl.SSLContext | None,
        limits: LinkLimits,
        meter: LinkMeter,
    ) -> None:
        super().__init__(links, devices, identity)
        self._host, self.port = listening.getsockname()[:2]
        self._listening = listening
        self._tasks = tasks
        self._tls = tls
        self._limits = limits
        self.meter = meter
        self._listener: Listener | None = None
        self._started = asyncio.Event()
        self._leaving = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        links: LinkRegistry,
        devices: Registry,
        database: Database,
        *,
        authority: Authority,
        listening: socket.socket,
        plain: bool,
        limits: LinkLimits,
        meter: LinkMeter,
        now_ms: Callable[[], int],
        publish: Callable[[LiveEvent], None],
        record: Record = no_record,
    ) -> AsyncIterator[LinkServer]:
        """Inside, devices connect once it was started."""
        identity = HostIdentity(
            authority,
            database,
            port=listening.getsockname()[1],
            enrol=partial(_enrol, devices),
            mint_id=devices.mint_id,
            now_ms=now_ms,
            record=DeviceRecorder(devices, record, publish, now_ms).record,
        )
        context = None if plain else authority.server_context()
        async with asyncio.TaskGroup() as tasks:
            server = cls(links, devices, identity, listening, tasks, tls=context, limits=limits, meter=meter)
            await server.mark_revoked()
            try:
                yield server
            finally:
                server._leaving.set()

    def start(self) -> None:
        """Let devices in. The listener's library takes 0.3 s to import: until then they wait in the kernel's queue."""
        self._tasks.create_task(self._listen(), name="link: listen")

    async def started(self) -> None:
        """Returns when devices are let in."""
        await self._started.wait()

    async def _listen(self) -> None:
        listener_class = await asyncio.to_thread(_listener_class)
        self._listener = listener_class(
            self.links,
            self.identity,
            limits=self._limits,
            meter=self.meter,
            find_owner=self._devices.find_owner,
        )
        async with self._listener.serving(self._listening, self._tls):
            self._started.set()
            await self._leaving.wait()

    async def goodbye(self) -> None:
        """Close every connection with 1001 and a time of its own to come back; accept no more."""
        if self._listener is not None:
            await self._listener.goodbye()

    # What a person does

    @property
    def address(self) -> str:
        return f"{'wss' if self._tls else 'ws'}://{bracketed(self._host)}:{self.port}{PATH}"

    @property
    def is_local(self) -> bool:
        """Only this machine can reach it."""
        return is_loopback(self._host)

    async def provision(
        self,
        name: str,
        *,
        board: str | None = None,
        with_secret: bool = True,
        host: str | None = None,
        life_ms: int = SECRET_LIFE_MS,
    ) -> Provision:
        """For a device to come called `name`, or for the known one of that name."""
        known = next((device for device in self._devices.list() if device.name == name), None)
        link_id = None if known is None else known.link_id or known.device_id
        return await self.identity.provision(
            device_id=link_id,
            name=name,
            board_id=board,
            with_secret=with_secret,
            host=host or (self._host if self.is_local else None),
            life_ms=life_ms,
        )

    async def provision_many(
        self, prefix: str, count: int, *, board: str | None, host: str | None, life_ms: int
    ) -> list[Provision]:
        """For `count` devices to come, called PREFIX001 and so on.

        Raises ConfigError for a prefix of no good names, and where no `host` is given and only this machine reaches the
        link: no board could connect with such a label.
        """
        if host is None and self.is_local:
            raise ConfigError(
                f"this host lets in devices of this machine alone ({self.address}): no board could use such labels",
                next_step=f"microclaw up --link 0.0.0.0:{self.port}, or give --address HOST",
            )
        taken = frozenset(device.name for device in self._devices.list())
        names = await self.identity.free_names(check_name(prefix), count, taken)
        check_name(names[-1])
        return [await self.provision(name, board=board, host=host, life_ms=life_ms) for name in names]


def _listener_class() -> type[Listener]:
    from microclaw.link_server.listener import Listener  # it imports aiohttp, which takes 0.3 s

    return Listener


async def _enrol(
    devices: Registry, board: str, *, name: str | None, device_id: str | None, is_new: bool = False
) -> str:
    """Enter a device that is being paired among the devices; its id."""
    if device_id is not None and await devices.find_owner(f"{LINK_SCHEME}{device_id}") is not None:
        return device_id
    if device_id is None or (is_new and all(device.device_id != device_id for device in devices.list())):
        minted = device_id or devices.mint_id()
        await devices.add(name or _free_name(devices, board), board, (f"{LINK_SCHEME}{minted}",), device_id=minted)
        return minted
    device = devices.get(device_id)
    await devices.add_transport(device.device_id, f"{LINK_SCHEME}{device.device_id}")
    return device.device_id


def _free_name(devices: Registry, board: str) -> str:
    taken = {device.name for device in devices.list()}
    stem = "".join(c if c.isalnum() else "-" for c in board.lower()).strip("-")[:24] or "device"
    return next(name for number in range(1, 10_000) if (name := f"{stem}-{number}") not in taken)
