"""A device at the other end of the link: who it is, its connection while it has one, and its boots. Stores nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from microclaw.devices.link.connection import LinkConnection
from microclaw.devices.link.device_ownership import DeviceOwnership
from microclaw.devices.registry.device import Device, revoked_error
from microclaw.errors import DeviceUnreachable
from microclaw.events import LiveEvent
from microclaw.host.store.link_events import LinkEventTable, Presence
from microclaw.host.store.links import LinkTable
from microclaw.wire.link.heartbeat import HeartbeatClock
from microclaw.wire.link.messages import AnyMessage, ErrorMessage

# Only hosts of a cluster load what calls other hosts.
if TYPE_CHECKING:
    from microclaw.devices.registry.remote_calls import RemoteCalls


class LinkContext(Struct, kw_only=True):
    """The parts that all devices' links share. `publish` takes a live event, `owner_of` finds a transport's device."""

    links: LinkTable
    events: LinkEventTable
    clock: HeartbeatClock
    new_id: Callable[[], bytes]
    publish: Callable[[LiveEvent], None]
    owner_of: Callable[[str], Device | None]
    # Both are None outside of a cluster.
    holding: DeviceOwnership | None = None
    remote: RemoteCalls | None = None


class Boots:
    """The boots of one device since the host started.

    `current` is the connected boot, `began_ms` the time of its first connection.
    """

    def __init__(self) -> None:
        self.count = 0
        self.current: bytes | None = None
        self.began_ms = 0.0
        self._last: bytes | None = None
        self._new = asyncio.Event()
        self._moves = 0

    def note_boot(self, boot_id: bytes, now_ms: float) -> None:
        if boot_id != self._last:
            self.count += 1
            self.began_ms = now_ms
            self._new.set()
        self._last = boot_id
        self.current = boot_id

    def note_end(self) -> bytes | None:
        """Note the end of the connection, and return the boot that was connected."""
        ended = self.current
        self.current = None
        return ended

    def moved(self) -> None:
        """Note that the device is connected to another host. `wait_for_another` waits no longer."""
        self._moves += 1
        self._new.set()

    async def wait_for_another(self, count: int, timeout_s: float) -> bool:
        """Wait for one more boot than `count`. Returns False if none connects to this host within the time."""
        moves = self._moves
        try:
            async with asyncio.timeout(timeout_s):
                while self.count <= count and self._moves == moves:
                    self._new.clear()
                    await self._new.wait()
        except TimeoutError:
            return False
        return self.count > count


class LinkedDevice:
    """A device with a link. Its credentials name it by `link_id`."""

    def __init__(self, link_id: str, parts: LinkContext, presence: Presence | None) -> None:
        self.link_id = link_id
        self.parts = parts
        self.presence = presence
        # No credential of a revoked device opens this host, until it is paired again.
        self.is_revoked = False
        self.connection: LinkConnection | None = None
        self.boots = Boots()

    @property
    def endpoint(self) -> str:
        return f"link:{self.link_id}"

    @property
    def name(self) -> str:
        """The device's name, or `link_id` if no device of the registry has this link."""
        owner = self.parts.owner_of(self.endpoint)
        if owner is None:
            return self.link_id
        return owner.name

    @property
    def online(self) -> bool:
        """True if it is connected to this host."""
        return self.connection is not None and self.boots.current is not None

    @property
    def is_connected_anywhere(self) -> bool:
        """True if it is connected, to this host or to another host of the cluster."""
        return self.online or self.other_host is not None

    @property
    def other_host(self) -> str | None:
        """The other host of the cluster that has its connection, or None."""
        holding = self.parts.holding
        if holding is None:
            return None
        return holding.host_of(self.link_id)

    @property
    def capabilities(self) -> frozenset[str]:
        """The capabilities of its last hello."""
        if self.presence is None:
            return frozenset()
        return frozenset(self.presence.capabilities)

    @property
    def now_ms(self) -> int:
        """The time of the link's clock, in Unix ms."""
        return self.parts.clock.unix_us() // 1000

    def send_now(self, body: AnyMessage, re: bytes | None = None) -> None:
        """Send a message that is not durable. Raises DeviceUnreachable if the device is not connected."""
        if self.connection is None and self.is_revoked:
            raise revoked_error(self.name)
        if self.connection is None:
            raise DeviceUnreachable(f"{self.name} is not connected", next_step="switch it on, then try again")
        self.connection.session.send(body, re=re)
        self.connection.pump()

    def send_error(self, code: str, message: str, *, re: bytes | None = None) -> None:
        """Send a connected device the error in its message."""
        if self.online:
            with suppress(DeviceUnreachable):
                self.send_now(ErrorMessage(code, message, fatal=False), re)

    def close(self, code: int, reason: str) -> None:
        """End its connection to this host, if it has one."""
        if self.connection is not None:
            self.connection.close(code, reason)
