"""The server for devices: its identity and listener, and what a person does with those that have a link.

It reads no message.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec.structs import replace

from microclaw.addresses import bracketed, is_loopback
from microclaw.audit.event import ALARMS, AuditEvent, Record, no_record
from microclaw.auth.authority import Authority
from microclaw.auth.pairing import HostIdentity, Wish
from microclaw.auth.provisioning import Provision
from microclaw.devices.device import Device, revoked_text
from microclaw.devices.examine import CheckLine
from microclaw.devices.registry import Registry
from microclaw.devices.transport import LINK_SCHEME
from microclaw.errors import ConfigError, NotSupported
from microclaw.events import Alarm, LiveEvent
from microclaw.link_server.device_facts import LinkState
from microclaw.link_server.device_link import DeviceLink
from microclaw.link_server.limits import LinkLimits
from microclaw.link_server.links import PATH, LinkRegistry
from microclaw.link_server.meter import HandshakeEnd, LinkMeter
from microclaw.store.database import Database
from microclaw.wire import xiaozhi
from microclaw.wire.link.messages import Notify

if TYPE_CHECKING:
    from microclaw.link_server.listener import Listener


ALARM_PAUSE_MS: Final = 600_000  # between two live events about one device's alarm
RECENT_MS: Final = 600_000
AT_ONCE_S: Final = 1.0
MAX_NOTE_CHARS: Final = 2_000
Noted: TypeAlias = Literal["delivered", "waiting"]


class LinkServer:
    """`async with server.serving():` devices connect from `start` on."""

    def __init__(
        self,
        links: LinkRegistry,
        devices: Registry,
        database: Database,
        *,
        authority: Authority,
        listening: socket.socket,
        limits: LinkLimits,
        meter: LinkMeter,
        now_ms: Callable[[], int],
        publish: Callable[[LiveEvent], None],
        record: Record = no_record,
    ) -> None:
        self.links = links
        self.meter = meter
        self._devices = devices
        devices.removed_elsewhere = self._drop
        self._host, self.port = listening.getsockname()[:2]
        self._record = record
        self._publish = publish
        self._now_ms = now_ms
        self._alarmed_ms: dict[str, int] = {}
        self.identity = HostIdentity(
            authority,
            database,
            port=self.port,
            enrol=partial(_enrol, devices),
            mint_id=devices.mint_id,
            now_ms=now_ms,
            record=self._note,
        )
        self._listening = listening
        self._tls = authority.server_context()
        self._limits = limits
        self._tasks = asyncio.TaskGroup()
        self._listener: Listener | None = None
        self._started = asyncio.Event()
        self._leaving = asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Inside, devices connect once it was started."""
        async with self._tasks:
            await self.mark_revoked()
            try:
                yield
            finally:
                self._leaving.set()

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
        return f"wss://{bracketed(self._host)}:{self.port}{PATH}"

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
    ) -> Provision:
        """For a device to come called `name`, or for the known one of that name."""
        known = next((device for device in self._devices.list() if device.name == name), None)
        if known is None:
            link_id = None
        else:
            link_id = known.link_id or known.device_id
        return await self.identity.provision(
            device_id=link_id,
            name=name,
            board_id=board,
            with_secret=with_secret,
            host=host or (self._host if self.is_local else None),
        )

    async def pair(
        self,
        code: str,
        *,
        name: str | None = None,
        device: str | None = None,
        board: str | None = None,
        by: str | None = None,
    ) -> Device:
        """The device that shows `code` becomes a new one called `name`, or a known one. Raises as `confirm` does.

        `board` is the profile of a device that calls its board by a name of its own, `by` the name of who let it in.
        """
        if device is not None:
            known = self._devices.get(device)
        else:
            known = None
        if known is not None:
            link_id = known.link_id or known.device_id
        else:
            link_id = None
        paired = await self.identity.confirm(code, Wish(name, link_id, board, by))
        owner = await self._devices.find_owner(endpoint_of(paired))
        assert owner is not None
        self.links.link(paired).is_revoked = False
        return owner

    async def mark_revoked(self) -> None:
        """At the start: a link of a device that was revoked says so."""
        for link_id in await self.identity.table.revoked():
            if self._devices.owner_of(endpoint_of(link_id)) is not None:
                self.links.link(link_id).is_revoked = True

    async def revoke(self, reference: str, *, by: str | None = None) -> int:
        """End every credential of the device, for the person of the name `by`; returns how many were still good."""
        device = self._devices.get(reference)
        known = _credentials(device)
        if not known:
            self._link_of(device)  # it says what is missing
        return sum([await self.identity.credentials.revoke(credential, by=by) for credential in known])

    async def revoked(self) -> frozenset[str]:
        """The registry's ids of devices that were revoked and not paired again."""
        gone = await self.identity.table.revoked()
        return frozenset(
            device.device_id for device in self._devices.list() if gone.issuperset(_credentials(device) or ("",))
        )

    def check_note(self, reference: str, text: str) -> None:
        """Raises what `notify` refuses: its length, a device that is unknown or has no link."""
        if not text.strip() or len(text) > MAX_NOTE_CHARS:
            raise ConfigError(f"a note has 1 to {MAX_NOTE_CHARS} characters", next_step="make it shorter")
        self._link_of(self._devices.get(reference))

    async def notify(self, reference: str, text: str, *, speak: bool, expires_s: int | None) -> Noted:
        """Kept until the device has it or it expires; "delivered" when the device had it at once.

        Raises NotSupported for a device that was revoked, and as `check_note`.
        """
        self.check_note(reference, text)
        device = self._devices.get(reference)
        if device.device_id in await self.revoked():
            revoked, step = revoked_text(device.name)
            raise NotSupported(revoked, next_step=step)
        link = self._link_of(device)
        if expires_s is None:
            expires_ms = None
        else:
            expires_ms = int(self.links.parts.clock.unix_us() / 1000 + expires_s * 1000)
        note = await link.send(Notify(text, speak, expires_ms))
        return "delivered" if link.anywhere and await link.has(note, AT_ONCE_S) else "waiting"

    async def forget(self, device: Device, *, by: str | None = None) -> None:
        """The device was removed."""
        for credential in _credentials(device):
            await self.identity.credentials.revoke(credential, by=by)
        for link_id in device.link_ids:
            await self.links.forget(link_id)

    def state(self, device: Device) -> LinkState | None:
        """None for a device without a link."""
        link_id = device.link_id
        if link_id is None:
            return None
        link = self.links.link(link_id)
        known = link.presence
        return LinkState(
            online=link.anywhere,
            last_seen_ms=known.seen_ms if known is not None else None,
            address=known.address if known is not None else None,
            firmware=known.firmware if known is not None else None,
            rtt_ms=None if link.connection is None else link.connection.rtt_ms,
            connections=link.connections,
            rssi=None if link.telemetry is None else link.telemetry.rssi,
            refused_events=None if link.telemetry is None else link.telemetry.refused_events,
            updates=known.ota if known is not None else None,
            host=link.other_host,
            handshake_end=self._handshake_end(link),
        )

    def recent_handshake_end(self) -> HandshakeEnd | None:
        """Return the newest connection that ended in TLS, of whatever device, if it was not long ago."""
        now_ms = self.links.parts.clock.unix_us() // 1000
        return self.meter.last_handshake_end(None, now_ms - RECENT_MS)

    def _handshake_end(self, link: DeviceLink) -> HandshakeEnd | None:
        """Return the last connection that ended in TLS since the device was here, None if it is here."""
        if link.anywhere:
            return None
        known = link.presence
        if known is None:
            return self.meter.last_handshake_end(None, 0)
        return self.meter.last_handshake_end(known.address, known.seen_ms)

    async def credential_line(self, device: Device) -> CheckLine | None:
        """Check that the device's credential opens this host; None for a device without a link."""
        link_id = device.link_id
        if link_id is None:
            return None
        table = self.identity.table
        now_ms = self.links.parts.clock.unix_us() / 1000
        good = any(row.state in ("current", "pending") for row in await table.tokens_of(link_id))
        good = good or any(
            row.revoked_ms is None and row.expires_ms > now_ms for row in await table.certificates_of(link_id)
        )
        if not good:
            _, step = revoked_text(device.name)
            return CheckLine("pairing", False, "nothing that it has opens this host any more", step)
        if self.links.link(link_id).anywhere:
            return CheckLine("pairing", True, "paired: this connection was opened with its credential")
        step = "a board that was flashed for another host comes back after: microclaw flash"
        return CheckLine("pairing", True, "paired; whether it still has its credential shows when it connects", step)

    def _link_of(self, device: Device) -> DeviceLink:
        link_id = device.link_id
        if link_id is None:
            raise NotSupported(
                f"{device.name} has no link (transports: {', '.join(device.endpoints) or 'none'})",
                next_step=f"microclaw device pair CODE --device {device.name}",
            )
        return self.links.link(link_id)

    def _note(self, event: AuditEvent) -> None:
        """Give a device's lines of the security log its name, and tell an alarm to who listens now."""
        if event.about is not None:
            device = self._devices.owner_of(endpoint_of(event.about))
        else:
            device = None
        if device is None:
            self._record(event)
            return
        now_ms = self._now_ms()
        if event.kind in ALARMS and now_ms - self._alarmed_ms.get(device.device_id, -ALARM_PAUSE_MS) >= ALARM_PAUSE_MS:
            self._alarmed_ms[device.device_id] = now_ms
            text = "a token that it no longer uses was shown: somebody may have a copy of what it had"
            self._publish(Alarm(device.name, now_ms, "token_superseded", text))
        self._record(replace(event, text=f"{device.name}: {event.text}"))

    def _drop(self, device: Device) -> None:
        """Another host removed it, or merged it into another: that one has its links then."""
        for link_id in device.link_ids:
            if self._devices.owner_of(endpoint_of(link_id)) is None:
                self.links.drop(link_id)


def endpoint_of(credential: str) -> str:
    """The transport of the device whose credential has this id."""
    return xiaozhi.endpoint_of(credential) or f"{LINK_SCHEME}{credential}"


def _credentials(device: Device) -> tuple[str, ...]:
    """The ids of everything that opens something for the device."""
    macs = (address.removeprefix(xiaozhi.SCHEME) for address in device.endpoints if address.startswith(xiaozhi.SCHEME))
    return (*device.link_ids, *map(xiaozhi.credential_of, macs))


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
