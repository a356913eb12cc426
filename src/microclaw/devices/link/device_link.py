"""One device at this end of the link: its waiting messages and calls, and its connection while it has one.

It outlives connections. Everything in memory has a bound: calls (64), log lines, the last telemetry. Durable messages
are in the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.devices.link.connection import LinkConnection
from microclaw.devices.link.device_ownership import DeviceOwnership
from microclaw.devices.link.effects import (
    MAX_NAME_CHARS,
    MAX_REASON_CHARS,
    DeviceReports,
    MessageEffects,
    live_events,
    presence_of,
)
from microclaw.devices.link.link_calls import Boots, LinkCalls
from microclaw.devices.link.tasks import DeviceTasks
from microclaw.devices.link.update_windows import DeviceUpdates
from microclaw.devices.registry.calls import Call as DeviceCall
from microclaw.devices.registry.calls import LogLine
from microclaw.devices.registry.device import Device, revoked_error
from microclaw.devices.registry.log_ring import MAX_TEXT, LogRing
from microclaw.errors import DeviceUnreachable, StoreError
from microclaw.events import DeviceConnected, DeviceLeft, DeviceLog, LiveEvent
from microclaw.host.store.link_events import LinkEventTable, Presence
from microclaw.host.store.links import LinkTable
from microclaw.host.store.sql import Sql
from microclaw.text import clean_text, one_line
from microclaw.wire.link import messages
from microclaw.wire.link.actions import Hear
from microclaw.wire.link.codec import encode
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.heartbeat import HeartbeatClock
from microclaw.wire.link.messages import AnyMessage, Envelope, Hello, Result
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor, StoredMessage

R = TypeVar("R")

_ACK_POLL_S = 0.05
_log = logging.getLogger(__name__)


class RemoteDevices(Protocol):
    """Calls to devices that are connected to other hosts of the cluster (devices.remote_calls)."""

    async def call(self, host: str, link_id: str, call: DeviceCall[R], timeout_s: float) -> R:
        """Call as Transport.call does. Raises DeviceMoved if the device left, and the call may be made elsewhere."""


class AudioStreams(Protocol):
    """The listener to the audio of one connection (interfaces/voice/link_device.py). No method waits."""

    def receive(self, message: messages.StartAsr | messages.StopAsr | messages.CancelStream) -> None: ...

    def receive_audio(self, hear: Hear) -> None: ...

    def end(self) -> None: ...


class LinkParts(Struct):
    """The parts of every device's link. `publish` takes a live event, `owner_of` finds a transport's device.

    `open_audio` is called for each device that has audio when it connects; None: this host takes no audio.
    """

    links: LinkTable
    events: LinkEventTable
    clock: HeartbeatClock
    new_id: Callable[[], bytes]
    publish: Callable[[LiveEvent], None]
    owner_of: Callable[[str], Device | None]
    tasks: DeviceTasks
    open_audio: Callable[[DeviceLink, LinkConnection, messages.AudioFormat], AudioStreams] | None = None
    reports: DeviceReports = field(default_factory=DeviceReports)
    updates: DeviceUpdates = field(default_factory=DeviceUpdates)
    # Both are None outside of a cluster.
    holding: DeviceOwnership | None = None
    remote: RemoteDevices | None = None


class DeviceLink:
    """A device's link. Its credentials name it by `link_id`."""

    def __init__(self, link_id: str, parts: LinkParts, presence: Presence | None = None) -> None:
        self.link_id = link_id
        self.presence = presence
        self.telemetry: messages.Telemetry | None = None
        self.log = LogRing()
        # The count since the host started.
        self.connections = 0
        # No credential of a revoked device opens this host, until it is paired again.
        self.is_revoked = False
        self.connection: LinkConnection | None = None
        # Held while one connection replaces another.
        self.arriving = asyncio.Lock()
        self.parts = parts
        self._links = parts.links
        # True if its outbox and inbox are in the store.
        self._is_open = False
        self._numbering = asyncio.Lock()
        self.calls = LinkCalls(self)
        # The fence of the current connection, in a cluster.
        self._fence: int | None = None
        # The fence of the current or last connection: the store checks writes against it.
        self._writer: int | None = None
        # The reason of its `bye`.
        self._bye: str | None = None
        self.boots = Boots()
        # The listener to its audio, while it is connected.
        self._audio: AudioStreams | None = None

    # Messages and calls to the device

    @property
    def endpoint(self) -> str:
        return f"link:{self.link_id}"

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
        await self._open()
        message_id = self.parts.new_id()
        payload = encode(Envelope(message_id, body, self.parts.clock.unix_us() // 1000, re=re))
        await self.persist(message_id, payload, also)
        return message_id

    async def wait_for_ack(self, message_id: bytes, timeout_s: float) -> bool:
        """Wait until the device has acked a durable message, to any host of the cluster. Returns False if it has not.

        An error of the store raises nothing: the message is stored, and sending it again would deliver it twice.
        """
        with suppress(TimeoutError, StoreError):
            async with asyncio.timeout(timeout_s):
                # The ack may come to another host, so no event of this host reports it.
                while message_id in await self._links.waiting_ids(self.link_id):  # noqa: ASYNC110
                    await asyncio.sleep(_ACK_POLL_S)
                return not self.is_revoked
        return False

    def send_now(self, body: AnyMessage, re: bytes | None = None) -> None:
        """Send a message that is not durable. Raises DeviceUnreachable if the device is not connected."""
        if self.connection is None and self.is_revoked:
            raise revoked_error(self.name)
        if self.connection is None:
            raise DeviceUnreachable(f"{self.name} is not connected", next_step="switch it on, then try again")
        self.connection.session.send(body, re=re)
        self.connection.pump()

    def close(self, code: int, reason: str) -> None:
        """End its connection to this host, if it has one."""
        if self.connection is not None:
            self.connection.close(code, reason)

    def revoke(self) -> None:
        """Mark its credentials as revoked. Waiting calls fail at once."""
        self.is_revoked = True
        self.calls.end("was revoked", lambda _: revoked_error(self.name))

    # Connections come and go

    async def attach(self, make: Callable[[OutboxCursor, InboxCursor], LinkConnection]) -> LinkConnection:
        """Make the live connection from now on. Call it holding `arriving`, after the older one has ended."""
        await self._open()
        holding = self.parts.holding
        if holding is not None:
            self._fence = await holding.take(self.link_id)
            self._writer = self._fence
        # Nothing may be numbered between reading the cursors and making the session that continues from them.
        async with self._numbering:
            outbox, inbox = await self._links.cursors(self.link_id)
            connection = make(outbox, inbox)
            self.connection = connection
        if holding is not None and holding.has_newer(self.link_id, self._writer or 0):
            connection.close(CloseCode.REPLACED, "a newer connection of this device, to another host")
        return connection

    async def detach(self, connection: LinkConnection) -> None:
        """Release a connection that has ended, and whose messages are applied. An older one does nothing."""
        if self.connection is not connection:
            return
        self.connection = None
        if self._audio is not None:
            self._audio.end()
            self._audio = None
        if self.boots.note_end() is not None:
            self._publish_end(connection)
            await self.note_presence()
        if self.parts.holding is not None and self._fence is not None:
            fence = self._fence
            self._fence = None
            await self.parts.holding.leave(self.link_id, fence)

    def _publish_end(self, connection: LinkConnection) -> None:
        code, reason = connection.end
        if self._bye is not None:
            reason = f"bye: {self._bye}"
        reason = clean_text(reason, one_line=True)
        self.parts.publish(DeviceLeft(self.name, self._now_ms, self.endpoint, code, reason))

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
        """Note that the device was removed. Waiting calls fail, and its tasks are cancelled."""
        self.calls.end("was removed", lambda _: DeviceUnreachable(f"{self.name} was removed"))
        self.parts.tasks.forget(self.link_id)
        self._is_open = False

    # Called by its connection

    def ready(self, connection: LinkConnection, hello: Hello) -> None:
        """Note the device's hello, which begins the session."""
        self._bye = None
        self.connections += 1
        self.boots.note_boot(hello.boot_id, self.parts.clock.now_ms())
        self.presence = presence_of(self.link_id, hello, connection.address, self._now_ms)
        self.parts.publish(DeviceConnected(self.name, self._now_ms, self.endpoint, connection.address))
        if hello.audio is not None and self.parts.open_audio is not None:
            self._audio = self.parts.open_audio(self, connection, hello.audio)
            connection.on_audio = self._audio.receive_audio
        self.calls.reconnected(hello.boot_id)

    def receive(self, connection: LinkConnection, envelope: Envelope) -> None:
        """Apply a message that is not durable."""
        match envelope.body:
            case Result() as result if envelope.re is not None:
                self.calls.resolve(envelope.re, result)
            case messages.Telemetry() as telemetry:
                accepted = self.parts.reports.pass_on(self.endpoint, self.name, telemetry, self._now_ms)
                self.telemetry = accepted or self.telemetry
            case messages.Log() as log:
                self._add_log(log)
            case messages.StartAsr() | messages.StopAsr() | messages.CancelStream() as message if (
                self._audio is not None
            ):
                self._audio.receive(message)
            case messages.StartAsr(stream=stream) if connection.on_audio is None:
                # It must not speak into the void.
                self.send_error("no_listener", "this host takes no audio", re=envelope.id)
                self.send_now(messages.CancelStream(stream))
            case messages.BlobRead() as request:
                self.parts.updates.serve(self, connection, request, envelope.id)
            case messages.PairRequest() as request if connection.on_renewal is not None:
                renewal = connection.on_renewal(connection, envelope.id, request)
                connection.on_renewal = None
                connection.start(renewal, "renewal")
            case messages.ErrorMessage(code=code, message=text) if envelope.re is not None:
                self.calls.resolve(envelope.re, Result(ok=False, error=messages.ErrorInfo(code, text)))
                connection.start(self._end_offer(envelope.re, f"{code}: {text}"), "error")
            case messages.Bye(reason=reason):
                self._bye = clean_text(reason[:MAX_REASON_CHARS], one_line=True)
            case body:
                _log.info("%s sent %s, which this host does nothing with", self.name, body.type)

    def _add_log(self, log: messages.Log) -> None:
        t_ms = self.parts.clock.now_ms() - self.boots.began_ms
        self.log.add(LogLine(t_ms, log.source or None, log.text, self._now_ms), log.n)
        source = one_line(log.source[:MAX_NAME_CHARS])
        text = one_line(log.text[:MAX_TEXT])
        self.parts.publish(DeviceLog(self.name, self._now_ms, log.level, source, log.n, text))

    async def _end_offer(self, message_id: bytes, error: str) -> None:
        offer = await self._links.refuse_offer(self.link_id, message_id, error)
        if offer is not None:
            self.parts.updates.changed(offer)

    def end_session(self) -> None:
        """Do nothing when the session ends: `detach` follows."""

    async def commit(self, envelope: Envelope, *, epoch: bytes) -> None:
        """Store a durable message of the device and apply it, if it is new."""
        assert envelope.seq is not None
        async with self._numbering:
            facts = None if self.presence is None else self.presence.ota
            effect = MessageEffects(self, envelope, self._now_ms, facts, self.name)
            is_new = await self._links.advance(
                self.link_id, epoch, envelope.seq, envelope.id, effect=effect.apply, fence=self._writer
            )
            if is_new and effect.seq is not None:
                self._send_stored(effect.seq, effect.payload)
        if is_new:
            self._finish_commit(envelope, effect)

    async def persist(self, message_id: bytes, payload: bytes, also: Callable[[Sql], object] = lambda _: None) -> None:
        async with self._numbering:
            seq = await self._links.append(self.link_id, message_id, payload, also)
            self._send_stored(seq, payload)

    async def load(self, after: int, limit: int) -> Sequence[StoredMessage]:
        return await self._links.unacked_after(self.link_id, after, limit)

    async def acked(self, seq: int) -> None:
        await self._links.ack(self.link_id, seq, self._writer)

    async def renew(self) -> OutboxCursor:
        async with self._numbering:
            return await self._links.renew(self.link_id, self._writer)

    # Called for other hosts of the cluster

    async def outbox_grew(self) -> None:
        """Send the messages that another host put into the outbox, in their order."""
        async with self._numbering:
            cursor, _ = await self._links.cursors(self.link_id)
            connection = self.connection
            if connection is not None and connection.session.outgoing.epoch == cursor.epoch:
                connection.session.grew(cursor.last)
                connection.pump()

    # Internals

    @property
    def name(self) -> str:
        """The device's name, or `link_id` if no device of the registry has this link."""
        owner = self.parts.owner_of(self.endpoint)
        if owner is None:
            return self.link_id
        return owner.name

    @property
    def _now_ms(self) -> int:
        return self.parts.clock.unix_us() // 1000

    async def _open(self) -> None:
        if not self._is_open:
            await self._links.open(self.link_id)
            self._is_open = True

    async def note_presence(self) -> None:
        """Store the device's hello, and that it is connected now. An error of the store is only logged."""
        if self.presence is not None:
            self.presence = replace(self.presence, seen_ms=self._now_ms)
            try:
                await self.parts.events.put(self.presence)
            except StoreError as exc:
                # A full disk must not keep a device out.
                _log.warning("the time of %s's connection was not stored: %s", self.name, exc.message)

    def _send_stored(self, seq: int, payload: bytes) -> None:
        """Give a numbered message to the live session. Call it holding `_numbering`."""
        if self.connection is not None:
            self.connection.session.stored(seq, payload)
            self.connection.pump()

    def _finish_commit(self, envelope: Envelope, effect: MessageEffects) -> None:
        """Do what follows a stored message outside of its transaction."""
        if effect.offer is not None:
            if self.presence is not None and effect.offer.is_of_keys:
                self.presence = replace(self.presence, ota=effect.facts)
            self.parts.updates.changed(effect.offer)
        match envelope.body:
            case messages.Event() as event:
                self.parts.reports.notify_stored()
                for live_event in live_events(event, self.name, self._now_ms):
                    self.parts.publish(live_event)
            case Result() as result if envelope.re is not None:
                self.calls.resolve(envelope.re, result)
            case messages.RunTask() as request if effect.task is not None:
                self.parts.tasks.start(self, request, effect.task)
            case messages.CancelTask(task=name):
                if not self.parts.tasks.cancel(self.link_id, name):
                    self.send_error("unknown_task", f"no task {name[:MAX_NAME_CHARS]} runs here", re=envelope.id)

    def send_error(self, code: str, message: str, *, re: bytes | None = None) -> None:
        """Send a connected device the error in its message."""
        if self.online:
            with suppress(DeviceUnreachable):
                self.send_now(messages.ErrorMessage(code, message, fatal=False), re)
