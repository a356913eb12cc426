"""One device at this end of the link: its waiting messages and calls, and its connection while it has one.

It outlives connections. Everything in memory has a bound: calls (64), log lines, the last telemetry. Durable messages
are in the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from msgspec.structs import replace

from microclaw.devices.link.connection import LinkConnection
from microclaw.devices.link.device_outbox import DeviceOutbox
from microclaw.devices.link.link_calls import LinkCalls
from microclaw.devices.link.linked_device import LinkContext, LinkedDevice
from microclaw.devices.registry.device import revoked_error
from microclaw.devices.registry.log_ring import LogRing
from microclaw.errors import DeviceUnreachable, StoreError
from microclaw.events import DeviceLeft
from microclaw.host.store.link_events import Presence
from microclaw.text import clean_text
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import Telemetry
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor

_log = logging.getLogger(__name__)


class DeviceLink(LinkedDevice):
    """A device's link, whether it is connected or not."""

    def __init__(self, link_id: str, parts: LinkContext, presence: Presence | None = None) -> None:
        super().__init__(link_id, parts, presence)
        self.telemetry: Telemetry | None = None
        self.log = LogRing()
        # The count since the host started.
        self.connections = 0
        # Held while one connection replaces another.
        self.arriving = asyncio.Lock()
        self.outbox = DeviceOutbox(self)
        self.calls = LinkCalls(self)
        # Held during a request for a page: a device has one at a time, and a new one ends the earlier.
        self.page_turn = asyncio.Lock()

    def revoke(self) -> None:
        """Mark its credentials as revoked. Waiting calls fail at once."""
        self.is_revoked = True
        self.calls.end("was revoked", lambda _: revoked_error(self.name))

    async def attach(self, make: Callable[[OutboxCursor, InboxCursor], LinkConnection]) -> LinkConnection:
        """Make the live connection from now on. Call it holding `arriving`, after the older one has ended."""
        await self.outbox.open()
        holding = self.parts.holding
        if holding is not None:
            self.outbox.fence = await holding.take(self.link_id)
        # Nothing may be numbered between reading the cursors and making the session that continues from them.
        async with self.outbox.numbering:
            outbox, inbox = await self.outbox.cursors()
            connection = make(outbox, inbox)
            self.connection = connection
        if holding is not None and holding.has_newer(self.link_id, self.outbox.fence or 0):
            connection.close(CloseCode.REPLACED, "a newer connection of this device, to another host")
        return connection

    async def detach(self, connection: LinkConnection) -> None:
        """Release a connection that has ended, and whose messages are applied. An older one does nothing."""
        if self.connection is not connection:
            return
        self.connection = None
        # The next connection may bring a new fence while this waits for the store.
        fence = self.outbox.fence
        connection.owner.detach()
        if self.boots.note_end() is not None:
            code, reason = connection.ending.summary
            reason = clean_text(reason, one_line=True)
            self.parts.publish(DeviceLeft(self.name, self.now_ms, self.endpoint, code, reason))
            await self.note_presence()
        if self.parts.holding is not None and fence is not None:
            await self.parts.holding.leave(self.link_id, fence)

    def moved(self) -> None:
        """Note that the device may be connected to another host.

        Calls that wait here end; their callers may repeat them there.
        """
        host = self.other_host
        if host is not None:
            # A device that is connected there has been paired again.
            self.is_revoked = False
            self.calls.moved(host)
            self.boots.moved()

    def forget(self) -> None:
        """Note that the device was removed. Waiting calls fail."""
        self.calls.end("was removed", lambda _: DeviceUnreachable(f"{self.name} was removed"))
        self.outbox.forget()

    async def note_presence(self) -> None:
        """Store the device's hello, and that it is connected now. An error of the store is only logged."""
        if self.presence is None:
            return
        self.presence = replace(self.presence, seen_ms=self.now_ms)
        try:
            await self.parts.events.put(self.presence)
        except StoreError as exc:
            # A full disk must not keep a device out.
            _log.warning("the time of %s's connection was not stored: %s", self.name, exc.message)
