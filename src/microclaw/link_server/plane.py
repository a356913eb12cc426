"""The device plane joined, and what a person does with it: pair, revoke, provision, notify. It reads no message."""

from __future__ import annotations

import asyncio
import importlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from microclaw.auth.certificates import lan_names
from microclaw.auth.credentials import Revoked
from microclaw.auth.device_identity import HostIdentity
from microclaw.auth.pairing import PendingPairing
from microclaw.auth.provisioning import Provision
from microclaw.devices.device import Device
from microclaw.devices.link_meter import LinkMeter
from microclaw.errors import ConfigError, NotSupported
from microclaw.events import Alarm, LiveEvent
from microclaw.link_server.device_link import DeviceLink
from microclaw.link_server.door import PATH, Doorway
from microclaw.link_server.hub import LinkHub
from microclaw.link_server.limits import LinkLimits
from microclaw.link_server.renewal import Renewals
from microclaw.link_server.transport import SCHEME, LinkTransport
from microclaw.store.database import Database
from microclaw.wire.link.messages import Notify

if TYPE_CHECKING:
    from microclaw.link_server.server import LinkServer


_SERVER: Final = "microclaw.link_server.server"
RENEWAL_CHECK_S: Final = 3600.0
AT_ONCE_S: Final = 1.0
MAX_NOTE_CHARS: Final = 2_000
Noted: TypeAlias = Literal["delivered", "waiting"]


class Devices(Protocol):
    """devices.Registry."""

    def get(self, reference: str) -> Device: ...

    def owner_of(self, endpoint: str) -> Device | None: ...

    def list(self) -> Sequence[Device]: ...

    async def add(self, name: str, board_id: str, transports: Sequence[str]) -> Device: ...

    async def add_transport(self, reference: str, endpoint: str) -> Device: ...


class SystemClock:
    """This machine's clocks."""

    def now_ms(self) -> float:
        return time.monotonic() * 1000

    def unix_us(self) -> int:
        return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class LinkState:
    """What is known of a device's link."""

    online: bool
    last_seen_ms: int | None
    address: str | None
    firmware: str | None
    rtt_ms: float | None


class DevicePlane:
    """Made by `DevicePlane.opened`; devices connect from `open_door` on."""

    def __init__(
        self, hub: LinkHub, identity: HostIdentity, devices: Devices, door: Doorway, address: str, port: int
    ) -> None:
        self.hub = hub
        self._door = door
        self._door_keeper: Callable[[], object] = lambda: None
        self._server: LinkServer | None = None
        self._opened = asyncio.Event()
        self._leaving = asyncio.Event()
        self.identity = identity
        self.address = address
        self.port = port
        self._devices = devices

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        hub: LinkHub,
        devices: Devices,
        database: Database,
        *,
        folder: Path,
        listener: socket.socket,
        plain: bool,
        limits: LinkLimits,
        meter: LinkMeter,
        now_ms: Callable[[], int],
        publish: Callable[[LiveEvent], None],
        renewal_check_s: float = RENEWAL_CHECK_S,
    ) -> AsyncIterator[DevicePlane]:
        """Raises StoreError when the identity in `folder` is not whole."""
        host, port = listener.getsockname()[:2]
        names = await asyncio.to_thread(lan_names)
        identity = await HostIdentity.open(
            folder,
            database,
            names=names,
            port=port,
            enrol=_Enrolment(devices, hub).enrol,
            now_ms=now_ms,
            clock_s=time.monotonic,
            random_bytes=secrets.token_bytes,
            random_below=secrets.randbelow,
        )
        context = None if plain else identity.authority.server_context()
        shown = f"[{host}]" if ":" in host else host
        plane = cls(
            hub,
            identity,
            devices,
            Doorway(listener, context),
            f"{'ws' if plain else 'wss'}://{shown}:{port}{PATH}",
            port,
        )

        def alarm(revoked: Revoked) -> None:
            if revoked.cause == "token_copied":
                text = "somebody has a copy of its token: it was revoked, pair it again"
                publish(Alarm(hub.parts.name_of(revoked.device_id), revoked.at_ms, "token_copied", text))

        async def renew() -> None:
            while context is not None:
                await asyncio.sleep(renewal_check_s)
                if await identity.authority.renew_if_due(await asyncio.to_thread(lan_names)):
                    identity.authority.rotate(context)

        stop_alarms = identity.revocation.listen(alarm)
        try:
            async with asyncio.TaskGroup() as tasks:
                plane._door_keeper = lambda: tasks.create_task(plane._keep_door(limits, meter), name="link: door")
                hub.renewals = Renewals(identity.desk, tasks)
                renewing = tasks.create_task(renew(), name="link: renew the certificate")
                try:
                    yield plane
                finally:
                    renewing.cancel()
                    hub.renewals = None
                    plane._leaving.set()
        finally:
            stop_alarms()

    def open_door(self) -> None:
        """Let devices in. The server's library takes 0.3 s to import: until then they wait in the kernel's queue."""
        self._door_keeper()

    async def door_open(self) -> None:
        """Returns when devices are let in."""
        await self._opened.wait()

    async def _keep_door(self, limits: LinkLimits, meter: LinkMeter) -> None:
        module = await asyncio.to_thread(importlib.import_module, _SERVER)
        server: LinkServer = module.LinkServer(
            self.hub,
            self.identity,
            limits=limits,
            meter=meter,
            knows=lambda endpoint: self._devices.owner_of(endpoint) is not None,
        )
        self._server = server
        async with server.serving(self._door):
            self._opened.set()
            await self._leaving.wait()

    async def goodbye(self) -> None:
        """1001 to every device, each with its own time to come back; nobody is let in any more."""
        if self._server is not None:
            await self._server.goodbye()

    # What a person does

    @property
    def is_local(self) -> bool:
        """Only this machine can reach it."""
        return self._door.loopback_host is not None

    @property
    def pending(self) -> tuple[PendingPairing, ...]:
        return self.identity.desk.pending

    async def pair(self, code: str, *, name: str | None = None, device: str | None = None) -> Device:
        """The device that shows `code` becomes a new one called `name`, or a known one. Raises what the desk raises."""
        known = self._devices.get(device) if device is not None else None
        link_id = _link_id(known) or known.device_id if known is not None else None
        paired = await self.identity.desk.confirm(code, name=name, device_id=link_id)
        owner = self._devices.owner_of(f"{SCHEME}{paired.device_id}")
        assert owner is not None
        return owner

    async def revoke(self, reference: str) -> int:
        """Nothing that the device has opens anything any more; how many credentials could."""
        device = self._devices.get(reference)
        self._link_of(device)  # it has one
        return sum([await self.identity.revocation.revoke(link_id) for link_id in _link_ids(device)])

    async def provision(
        self, name: str, *, board: str | None = None, with_secret: bool = True, host: str | None = None
    ) -> Provision:
        """For a device to come called `name`, or for the known one of that name."""
        known = next((device for device in self._devices.list() if device.name == name), None)
        link_id = None if known is None else _link_id(known) or known.device_id
        return await self.identity.provisioner.provision(
            device_id=link_id,
            name=None if known is not None else name,
            board_id=board,
            with_secret=with_secret,
            host=host or (self._door.loopback_host if self.is_local else None),
        )

    async def notify(self, reference: str, text: str, *, speak: bool, expires_s: int | None) -> Noted:
        """Kept until the device has it or it expires; "delivered" when the device had it at once."""
        if not text.strip() or len(text) > MAX_NOTE_CHARS:
            raise ConfigError(f"a note has 1 to {MAX_NOTE_CHARS} characters", next_step="make it shorter")
        link = self._link_of(self._devices.get(reference))
        expires_ms = None if expires_s is None else int(self.hub.parts.clock.unix_us() / 1000 + expires_s * 1000)
        acked = await link.send(Notify(text, speak, expires_ms))
        if link.online:
            await asyncio.wait([acked], timeout=AT_ONCE_S)
        link.unexpect(acked)
        return "delivered" if acked.done() else "waiting"

    async def forget(self, device: Device) -> None:
        """The device was removed."""
        for link_id in _link_ids(device):
            await self.identity.revocation.revoke(link_id)
            await self.hub.forget(link_id)

    def state(self, device: Device) -> LinkState | None:
        """None for a device without a link."""
        link_id = _link_id(device)
        if link_id is None:
            return None
        link = self.hub.link(link_id)
        known = link.presence
        return LinkState(
            online=link.online,
            last_seen_ms=known.seen_ms if known is not None else None,
            address=known.address if known is not None else None,
            firmware=known.firmware if known is not None else None,
            rtt_ms=link.rtt_ms if link.online else None,
        )

    def _link_of(self, device: Device) -> DeviceLink:
        link_id = _link_id(device)
        if link_id is None:
            raise NotSupported(
                f"{device.name} has no link (transports: {', '.join(device.endpoints) or 'none'})",
                next_step=f"microclaw device pair CODE --device {device.name}",
            )
        return self.hub.link(link_id)


def _link_id(device: Device) -> str | None:
    return next(iter(_link_ids(device)), None)


def _link_ids(device: Device) -> tuple[str, ...]:
    """More than one for a device that two were merged into."""
    return tuple(transport.link.link_id for transport in device.transports if isinstance(transport, LinkTransport))


class _Enrolment:
    """Enters a device that is being paired among the devices."""

    def __init__(self, devices: Devices, hub: LinkHub) -> None:
        self._devices = devices
        self._hub = hub

    async def enrol(self, board: str, *, name: str | None, device_id: str | None) -> str:
        if device_id is not None and self._devices.owner_of(f"{SCHEME}{device_id}") is not None:
            return device_id
        if device_id is not None:
            device = self._devices.get(device_id)
        else:
            device = await self._devices.add(name or self._free_name(board), board, ())
        endpoint = f"{SCHEME}{device.device_id}"
        await self._devices.add_transport(device.device_id, endpoint)
        return device.device_id

    def _free_name(self, board: str) -> str:
        taken = {device.name for device in self._devices.list()}
        stem = "".join(c if c.isalnum() else "-" for c in board.lower()).strip("-")[:24] or "device"
        return next(name for number in range(1, 10_000) if (name := f"{stem}-{number}") not in taken)
