"""Applies the messages of one connection of a device with a credential. Writes no frame and stores nothing itself."""

from __future__ import annotations

import logging

from microclaw.devices.link.connection import ConnectionOwner, LinkConnection
from microclaw.devices.link.device_inbox import DeviceInbox
from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.link.effects import MAX_NAME_CHARS, MAX_REASON_CHARS, presence_of
from microclaw.devices.link.fetches import ConnectionFetches
from microclaw.devices.link.link_parts import AudioStreams, LinkParts
from microclaw.devices.link.pairing import renew
from microclaw.devices.link.store_work import StoreWork
from microclaw.devices.registry.calls import LogLine
from microclaw.devices.registry.log_ring import MAX_TEXT
from microclaw.errors import LinkViolation
from microclaw.events import DeviceConnected, DeviceLog
from microclaw.host.auth.credentials import DeviceCredentials, Identity
from microclaw.text import clean_text, one_line
from microclaw.wire.link import messages
from microclaw.wire.link.actions import Action, Hear
from microclaw.wire.link.messages import Envelope, Hello, Result

_log = logging.getLogger(__name__)


class DeviceSession(ConnectionOwner):
    """The owner of one connection of a device. Its link outlives it."""

    def __init__(self, link: DeviceLink, parts: LinkParts, credentials: DeviceCredentials, identity: Identity) -> None:
        self._link = link
        self._parts = parts
        self._credentials = credentials
        self._work = StoreWork(link, DeviceInbox(link, parts), credentials, identity)
        self._fetches = ConnectionFetches(link, parts.fetches)
        # The listener to its audio, from its hello on.
        self._audio: AudioStreams | None = None
        # It gets one new certificate in a connection.
        self._may_renew = True

    def ready(self, connection: LinkConnection, hello: Hello) -> None:
        link = self._link
        parts = self._parts
        link.connections += 1
        link.boots.note_boot(hello.boot_id, parts.clock.now_ms())
        link.presence = presence_of(link.link_id, hello, connection.address, link.now_ms)
        parts.publish(DeviceConnected(link.name, link.now_ms, link.endpoint, connection.address))
        if hello.audio is not None and parts.open_audio is not None:
            self._audio = parts.open_audio(link, connection, hello.audio)
        link.calls.reconnected(hello.boot_id)

    def receive(self, connection: LinkConnection, envelope: Envelope) -> None:
        link = self._link
        match envelope.body:
            case Result() as result if envelope.re is not None:
                link.calls.resolve(envelope.re, result)
            case messages.Telemetry() as telemetry:
                accepted = self._parts.reports.pass_on(link.endpoint, link.name, telemetry, link.now_ms)
                link.telemetry = accepted or link.telemetry
            case messages.Log() as log:
                self._add_log(log)
            case messages.StartAsr() | messages.StopAsr() | messages.CancelStream() as message:
                self._receive_about_audio(message, envelope.id)
            case messages.BlobRead() as request:
                self._parts.updates.serve(link, connection, request, envelope.id)
            case messages.Fetch() | messages.FetchPiece() as message:
                self._fetches.receive(connection, message, envelope)
            case messages.PairRequest() as request if self._may_renew:
                self._may_renew = False
                renewal = renew(link.link_id, self._credentials, connection, envelope.id, request)
                connection.start(renewal, "renewal")
            case messages.ErrorMessage(code=code, message=text) if envelope.re is not None:
                link.calls.resolve(envelope.re, Result(ok=False, error=messages.ErrorInfo(code, text)))
                connection.start(self._end_offer(envelope.re, f"{code}: {text}"), "error")
            case messages.Bye(reason=reason):
                connection.ending.bye = clean_text(reason[:MAX_REASON_CHARS], one_line=True)
            case body:
                self._ignore(body.type)

    def receive_audio(self, hear: Hear) -> None:
        if self._audio is not None:
            self._audio.receive_audio(hear)

    def store(self, connection: LinkConnection, action: Action) -> None:
        self._work.add(connection, action)

    def fail_unreadable(self, violation: LinkViolation) -> None:
        self._link.calls.fail_unreadable(violation)

    def end_session(self) -> None:
        self._fetches.end()

    def detach(self) -> None:
        if self._audio is not None:
            self._audio.end()
            self._audio = None

    def _receive_about_audio(
        self, message: messages.StartAsr | messages.StopAsr | messages.CancelStream, message_id: bytes
    ) -> None:
        if self._audio is not None:
            self._audio.receive(message)
        elif isinstance(message, messages.StartAsr):
            # It must not speak into the void.
            self._link.send_error("no_listener", "this host takes no audio", re=message_id)
            self._link.send_now(messages.CancelStream(message.stream))
        else:
            self._ignore(message.type)

    def _ignore(self, message_type: str) -> None:
        _log.info("%s sent %s, which this host does nothing with", self._link.name, message_type)

    def _add_log(self, log: messages.Log) -> None:
        link = self._link
        t_ms = self._parts.clock.now_ms() - link.boots.began_ms
        link.log.add(LogLine(t_ms, log.source or None, log.text, link.now_ms), log.n)
        source = one_line(log.source[:MAX_NAME_CHARS])
        text = one_line(log.text[:MAX_TEXT])
        self._parts.publish(DeviceLog(link.name, link.now_ms, log.level, source, log.n, text))

    async def _end_offer(self, message_id: bytes, error: str) -> None:
        offer = await self._parts.links.refuse_offer(self._link.link_id, message_id, error)
        if offer is not None:
            self._parts.updates.changed(offer)
