"""The durable messages of one device's link: numbered, in the store until they are acked. Reads no message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from microclaw.devices.link.linked_device import LinkedDevice
from microclaw.errors import StoreError
from microclaw.host.store.sql import Sql
from microclaw.wire.link.codec import encode
from microclaw.wire.link.messages import AnyMessage, Envelope
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor, StoredMessage

_ACK_POLL_S = 0.05


class DeviceOutbox:
    """The messages to a device, which the live session sends as soon as they are numbered."""

    def __init__(self, device: LinkedDevice) -> None:
        # Held while a message is numbered, until the live session has it.
        self.numbering = asyncio.Lock()
        # The fence of the current or last connection, in a cluster: the store checks writes against it.
        self.fence: int | None = None
        self._device = device
        self._links = device.parts.links
        # True if the outbox and the inbox are in the store.
        self._is_open = False

    async def open(self) -> None:
        """Make the rows of the outbox and the inbox, if there are none."""
        if not self._is_open:
            await self._links.open(self._device.link_id)
            self._is_open = True

    def forget(self) -> None:
        """Note that the rows were deleted."""
        self._is_open = False

    async def send(
        self,
        body: AnyMessage,
        *,
        re: bytes | None = None,
        also: Callable[[Sql], object] = lambda _: None,
    ) -> bytes:
        """Store a durable message, which is sent now or later, and return its id.

        `also` is called in the transaction that stores it.
        """
        await self.open()
        message_id = self._device.parts.new_id()
        payload = encode(Envelope(message_id, body, self._device.now_ms, re=re))
        await self.persist(message_id, payload, also)
        return message_id

    async def wait_for_ack(self, message_id: bytes, timeout_s: float) -> bool:
        """Wait until the device has acked a durable message, to any host of the cluster. Returns False if it has not.

        An error of the store raises nothing: the message is stored, and sending it again would deliver it twice.
        """
        with suppress(TimeoutError, StoreError):
            async with asyncio.timeout(timeout_s):
                # The ack may come to another host, so no event of this host reports it.
                while message_id in await self._links.waiting_ids(self._device.link_id):  # noqa: ASYNC110
                    await asyncio.sleep(_ACK_POLL_S)
                return not self._device.is_revoked
        return False

    async def persist(self, message_id: bytes, payload: bytes, also: Callable[[Sql], object] = lambda _: None) -> None:
        """Store a message with its number, and give it to the live session."""
        async with self.numbering:
            seq = await self._links.append(self._device.link_id, message_id, payload, also)
            self.send_stored(seq, payload)

    def send_stored(self, seq: int, payload: bytes) -> None:
        """Give a numbered message to the live session. Call it holding `numbering`."""
        connection = self._device.connection
        if connection is not None:
            connection.session.stored(seq, payload)
            connection.pump()

    async def cursors(self) -> tuple[OutboxCursor, InboxCursor]:
        """Return where the numbers of both directions are. Call it holding `numbering`."""
        return await self._links.cursors(self._device.link_id)

    async def load(self, after: int, limit: int) -> Sequence[StoredMessage]:
        return await self._links.unacked_after(self._device.link_id, after, limit)

    async def note_acked(self, seq: int) -> None:
        await self._links.ack(self._device.link_id, seq, self.fence)

    async def renew(self) -> OutboxCursor:
        """Begin a new epoch of the numbers."""
        async with self.numbering:
            return await self._links.renew(self._device.link_id, self.fence)

    async def send_added(self) -> None:
        """Send the messages that another host put into the outbox, in their order."""
        async with self.numbering:
            cursor, _ = await self.cursors()
            connection = self._device.connection
            if connection is not None and connection.session.outgoing.epoch == cursor.epoch:
                connection.session.grew(cursor.last)
                connection.pump()
