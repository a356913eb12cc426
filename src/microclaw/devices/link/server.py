"""The server for devices: its identity and listener, and a person's actions on devices with a link.

It reads no message.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec.structs import replace

from microclaw.addresses import bracketed, is_loopback
from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.link.limits import LinkLimits
from microclaw.devices.link.links import PATH, LinkRegistry
from microclaw.devices.link.meter import HandshakeEnd, LinkMeter
from microclaw.devices.link.results import DeviceLinkState
from microclaw.devices.registry.device import Device, revoked_text
from microclaw.devices.registry.examine import CheckLine
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.transport import LINK_SCHEME
from microclaw.errors import ConfigError, NotSupported
from microclaw.events import Alarm
from microclaw.host.audit.event import ALARMS, AuditEvent, Record, no_record
from microclaw.host.auth.authority import Authority
from microclaw.host.auth.pairing import HostIdentity, PairingRequest
from microclaw.host.auth.provisioning import Provision
from microclaw.host.store.database import Database
from microclaw.wire import xiaozhi
from microclaw.wire.link.messages import Notify

if TYPE_CHECKING:
    from microclaw.devices.link.listener import Listener


# The time between two live events about one device's alarm.
ALARM_PAUSE_MS: Final = 600_000
RECENT_MS: Final = 600_000
AT_ONCE_S: Final = 1.0
MAX_NOTE_CHARS: Final = 2_000
Noted: TypeAlias = Literal["delivered", "waiting"]


class LinkServer:
    """The server. Inside `async with server.serving():` devices connect after `start`."""

    def __init__(
        self,
        links: LinkRegistry,
        devices: Registry,
        database: Database,
        *,
        authority: Authority,
        listening: socket.socket,
        limits: LinkLimits,
        now_ms: Callable[[], int],
        record: Record = no_record,
    ) -> None:
        self.links = links
        self.meter = LinkMeter()
        self._devices = devices
        devices.removed_elsewhere = self._drop
        self._host, self.port = listening.getsockname()[:2]
        self._listening = listening
        self._record = record
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
        self._tls = authority.server_context()
        self._limits = limits
        self._tasks = asyncio.TaskGroup()
        self._listener: Listener | None = None
        self._started = asyncio.Event()
        self._leaving = asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Run the server inside. Devices connect after `start`."""
        async with self._tasks:
            await self.mark_revoked()
            try:
                yield
            finally:
                self._leaving.set()

    def start(self) -> None:
        """Begin to accept devices. They wait in the kernel's queue until the listener's library is imported (0.3 s)."""
        self._tasks.create_task(self._listen(), name="link: listen")

    async def started(self) -> None:
        """Wait until devices are accepted."""
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
        """Close every connection with 1001 and its own time to reconnect, and accept no more."""
        if self._listener is not None:
            await self._listener.goodbye()

    # A person's actions

    @property
    def address(self) -> str:
        return f"wss://{bracketed(self._host)}:{self.port}{PATH}"

    @property
    def is_local(self) -> bool:
        """True if only this machine can reach it."""
        return is_loopback(self._host)

    async def provision(
        self,
        name: str,
        *,
        board: str | None = None,
        with_secret: bool = True,
        host: str | None = None,
    ) -> Provision:
        """Make the provisioning of a new device called `name`, or of the known device of that name."""
        device = next((device for device in self._devices.list() if device.name == name), None)
        if not host and self.is_local:
            host = self._host
        return await self.identity.provision(
            device_id=_credential_id(device),
            name=name,
            board_id=board,
            with_secret=with_secret,
            host=host or None,
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
        """Pair the device that shows `code`, as a new device called `name` or as a known one. Raises as `confirm` does.

        `board` is the profile if the device has its own name for its board, `by` the name of the person that pairs it.
        """
        known_device = None
        if device is not None:
            known_device = self._devices.get(device)
        wish = PairingRequest(name, _credential_id(known_device), board, by)
        paired_id = await self.identity.confirm(code, wish)
        owner = await self._devices.find_owner(endpoint_of(paired_id))
        assert owner is not None
        self.links.link(paired_id).is_revoked = False
        return owner

    async def mark_revoked(self) -> None:
        """Mark the links of revoked devices, at the start."""
        for link_id in await self.identity.table.revoked():
            if self._devices.owner_of(endpoint_of(link_id)) is not None:
                self.links.link(link_id).is_revoked = True

    async def revoke(self, reference: str, *, by: str | None = None) -> int:
        """Revoke every credential of the device, for the person `by`. Returns the number that were still valid."""
        device = self._devices.get(reference)
        credentials = _credentials(device)
        if not credentials:
            # This raises NotSupported with the missing link.
            self._link_of(device)
        revoked_count = 0
        for credential in credentials:
            revoked_count += await self.identity.credentials.revoke(credential, by=by)
        return revoked_count

    async def revoked(self) -> frozenset[str]:
        """Return the registry's ids of devices that were revoked and not paired again."""
        revoked_credentials = await self.identity.table.revoked()
        device_ids = []
        for device in self._devices.list():
            credentials = _credentials(device)
            if credentials and revoked_credentials.issuperset(credentials):
                device_ids.append(device.device_id)
        return frozenset(device_ids)

    def check_note(self, reference: str, text: str) -> None:
        """Raise ConfigError if the text is empty or too long, and an error if the device is unknown or has no link."""
        if not text.strip() or len(text) > MAX_NOTE_CHARS:
            raise ConfigError(f"a note has 1 to {MAX_NOTE_CHARS} characters", next_step="make it shorter")
        self._link_of(self._devices.get(reference))

    async def notify(self, reference: str, text: str, *, speak: bool, expires_s: int | None) -> Noted:
        """Store a note until the device has it or it expires. Returns "delivered" if the device had it at once.

        Raises NotSupported if the device was revoked, and as `check_note` does.
        """
        self.check_note(reference, text)
        device = self._devices.get(reference)
        if device.device_id in await self.revoked():
            message, next_step = revoked_text(device.name)
            raise NotSupported(message, next_step=next_step)
        link = self._link_of(device)
        expires_ms = None
        if expires_s is not None:
            expires_ms = int(self.links.parts.clock.unix_us() / 1000 + expires_s * 1000)
        message_id = await link.outbox.send(Notify(text, speak, expires_ms))
        if link.is_connected_anywhere and await link.outbox.wait_for_ack(message_id, AT_ONCE_S):
            return "delivered"
        return "waiting"

    async def forget(self, device: Device, *, by: str | None = None) -> None:
        """Revoke the credentials of a removed device, and delete its links."""
        for credential in _credentials(device):
            await self.identity.credentials.revoke(credential, by=by)
        for link_id in device.link_ids:
            await self.links.forget(link_id)

    def state(self, device: Device) -> DeviceLinkState | None:
        """Return the state of the device's link, or None for a device without a link."""
        link_id = device.link_id
        if link_id is None:
            return None
        link = self.links.link(link_id)
        state = DeviceLinkState(
            online=link.is_connected_anywhere,
            last_seen_ms=None,
            address=None,
            firmware=None,
            rtt_ms=None,
            connections=link.connections,
            host=link.other_host,
            handshake_end=self._handshake_end(link),
        )
        presence = link.presence
        if presence is not None:
            state = replace(
                state,
                last_seen_ms=presence.seen_ms,
                address=presence.address,
                firmware=presence.firmware,
                updates=presence.ota,
            )
        if link.connection is not None:
            state = replace(state, rtt_ms=link.connection.counts.rtt_ms)
        if link.telemetry is not None:
            state = replace(state, rssi=link.telemetry.rssi, refused_events=link.telemetry.refused_events)
        return state

    def recent_handshake_end(self) -> HandshakeEnd | None:
        """Return the newest connection of any device that ended in TLS, if it was within the last 10 minutes."""
        now_ms = self.links.parts.clock.unix_us() // 1000
        return self.meter.last_handshake_end(None, now_ms - RECENT_MS)

    def _handshake_end(self, link: DeviceLink) -> HandshakeEnd | None:
        """Return the last connection that ended in TLS since the device was connected, None if it is connected."""
        if link.is_connected_anywhere:
            return None
        presence = link.presence
        if presence is None:
            return self.meter.last_handshake_end(None, 0)
        return self.meter.last_handshake_end(presence.address, presence.seen_ms)

    async def credential_line(self, device: Device) -> CheckLine | None:
        """Check that the device has a valid credential of this host. Returns None for a device without a link."""
        link_id = device.link_id
        if link_id is None:
            return None
        if not await self._has_valid_credential(link_id):
            _, step = revoked_text(device.name)
            return CheckLine("pairing", ok=False, text="nothing that it has opens this host any more", next_step=step)
        if self.links.link(link_id).is_connected_anywhere:
            return CheckLine("pairing", ok=True, text="paired: this connection was opened with its credential")
        step = "a board that was flashed for another host comes back after: microclaw flash"
        text = "paired; whether it still has its credential shows when it connects"
        return CheckLine("pairing", ok=True, text=text, next_step=step)

    async def _has_valid_credential(self, link_id: str) -> bool:
        table = self.identity.table
        now_ms = self.links.parts.clock.unix_us() / 1000
        if any(token.state in ("current", "pending") for token in await table.tokens_of(link_id)):
            return True
        for certificate in await table.certificates_of(link_id):
            if certificate.revoked_ms is None and certificate.expires_ms > now_ms:
                return True
        return False

    def _link_of(self, device: Device) -> DeviceLink:
        link_id = device.link_id
        if link_id is None:
            raise NotSupported(
                f"{device.name} has no link (transports: {', '.join(device.endpoints) or 'none'})",
                next_step=f"microclaw device pair CODE --device {device.name}",
            )
        return self.links.link(link_id)

    def _note(self, event: AuditEvent) -> None:
        """Add the device's name to its lines of the security log, and publish an alarm as a live event."""
        device = None
        if event.about is not None:
            device = self._devices.owner_of(endpoint_of(event.about))
        if device is None:
            self._record(event)
            return
        if event.kind in ALARMS:
            self._publish_alarm(device)
        self._record(replace(event, text=f"{device.name}: {event.text}"))

    def _publish_alarm(self, device: Device) -> None:
        now_ms = self._now_ms()
        last_ms = self._alarmed_ms.get(device.device_id, -ALARM_PAUSE_MS)
        if now_ms - last_ms >= ALARM_PAUSE_MS:
            self._alarmed_ms[device.device_id] = now_ms
            text = "a replaced token of this device was used: its secrets may have been copied"
            self.links.parts.publish(Alarm(device.name, now_ms, "token_superseded", text))

    def _drop(self, device: Device) -> None:
        """Drop the links of a device that another host removed, unless it merged them into another device."""
        for link_id in device.link_ids:
            if self._devices.owner_of(endpoint_of(link_id)) is None:
                self.links.drop(link_id)


def endpoint_of(credential: str) -> str:
    """Return the transport of the device whose credential has this id."""
    return xiaozhi.endpoint_of(credential) or f"{LINK_SCHEME}{credential}"


def _credentials(device: Device) -> tuple[str, ...]:
    """Return the ids of all credentials of the device."""
    macs = (address.removeprefix(xiaozhi.SCHEME) for address in device.endpoints if address.startswith(xiaozhi.SCHEME))
    return (*device.link_ids, *map(xiaozhi.credential_of, macs))


def _credential_id(device: Device | None) -> str | None:
    """Return the id that a device's new credential gets. None for a new device."""
    if device is None:
        return None
    return device.link_id or device.device_id


def _listener_class() -> type[Listener]:
    # It imports aiohttp, which takes 0.3 s.
    from microclaw.devices.link.listener import Listener

    return Listener


async def _enrol(
    devices: Registry, board: str, *, name: str | None, device_id: str | None, is_new: bool = False
) -> str:
    """Add a device that is being paired to the registry, or a link to a known device. Returns its id."""
    if device_id is not None and await devices.find_owner(f"{LINK_SCHEME}{device_id}") is not None:
        return device_id
    if device_id is not None and not (is_new and _is_unknown(devices, device_id)):
        device = devices.get(device_id)
        await devices.add_transport(device.device_id, f"{LINK_SCHEME}{device.device_id}")
        return device.device_id
    new_id = device_id or devices.mint_id()
    new_name = name or _free_name(devices, board)
    await devices.add(new_name, board, (f"{LINK_SCHEME}{new_id}",), device_id=new_id)
    return new_id


def _is_unknown(devices: Registry, device_id: str) -> bool:
    return all(device.device_id != device_id for device in devices.list())


def _free_name(devices: Registry, board: str) -> str:
    used_names = {device.name for device in devices.list()}
    stem = re.sub(r"[\W_]", "-", board.lower()).strip("-")[:24] or "device"
    for number in range(1, 10_000):
        name = f"{stem}-{number}"
        if name not in used_names:
            return name
    raise ConfigError(f"no name is free for a board {stem}", next_step="microclaw device list")
