"""Turns a device's messages into rows of the inbox's transaction, live events and log lines. Sends nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from microclaw.devices.link.link_parts import LinkParts
from microclaw.events import Alarm, AppEnded, DeviceEvent, LiveEvent, Published
from microclaw.hardware.boards.firmware import UpdateFacts
from microclaw.host.store.firmware import MAX_VERSION_CHARS, OfferRow, keys_after, record_status
from microclaw.host.store.link_events import OpenTask, Presence, add_event, add_task
from microclaw.host.store.links import append_to
from microclaw.host.store.sql import Sql
from microclaw.text import clean_text
from microclaw.wire.link import messages
from microclaw.wire.link.codec import encode
from microclaw.wire.link.messages import Envelope, Event, Hello, RunTask

MAX_EVENT_NAME_CHARS: Final = 200
# Many live events may wait for slow readers, so each is cut.
MAX_NAME_CHARS: Final = 64
MAX_REASON_CHARS: Final = 200
MAX_FIRMWARE_CHARS: Final = 100
MAX_UPDATE_WORDS: Final = 8  # kinds of updates, keys
MAX_TOPIC: Final = 128
MAX_PUBLISHED: Final = 1_024


@dataclass(slots=True)
class MessageEffects:
    """The rows of a durable message of the device with `link_id`.

    `facts` are of the device's hello, `device` is its name. Both are read on the event loop, because `apply` runs in
    the store's thread.

    After `apply`, `task` is the task that was accepted, `seq` and `payload` are an answer, `offer` is the update that
    a status was about (and `facts` has the keys that the device trusts now).
    """

    link_id: str
    parts: LinkParts
    envelope: Envelope
    now_ms: int
    facts: UpdateFacts | None
    device: str
    seq: int | None = None
    payload: bytes = b""
    task: OpenTask | None = None
    offer: OfferRow | None = None

    def apply(self, connection: Sql) -> None:
        """Write the rows in the message's transaction. It may run again after a transaction that failed."""
        self.seq = None
        self.payload = b""
        self.task = None
        self.offer = None
        body = self.envelope.body
        if not isinstance(body, messages.Unknown | messages.Result):
            name = body.name if isinstance(body, Event) else ""
            message = encode(Envelope(self.envelope.id, body, self.envelope.ts_ms))
            event_name = name[:MAX_EVENT_NAME_CHARS]
            add_event(connection, self.link_id, body.type, event_name, message, received_ms=self.now_ms)
        keep_event = self.parts.reports.keep_event
        if isinstance(body, Event) and keep_event is not None:
            keep_event(connection, self.device, self.envelope.id, body, self.now_ms)
        if isinstance(body, RunTask):
            self._open_task(connection, body)
        if isinstance(body, messages.OtaStatus):
            self._note_update(connection, body)

    def _note_update(self, connection: Sql, status: messages.OtaStatus) -> None:
        running_version = None if self.facts is None else self.facts.version
        offer = record_status(connection, self.link_id, status, running_version, self.now_ms)
        self.offer = offer
        if offer is None or self.facts is None:
            return
        if offer.is_of_keys and offer.state == "healthy":
            self.facts = replace(self.facts, keys=keys_after(connection, offer, self.facts.keys))

    def _open_task(self, connection: Sql, request: RunTask) -> None:
        """Add an open task, or its refusal to the outbox."""
        task = OpenTask(self.link_id, request.task, self.envelope.id, self.parts.tasks.host)
        refusal = self.parts.tasks.refusal(request)
        if refusal is None:
            refusal = add_task(connection, task, self.now_ms)
        if refusal is None:
            self.task = task
            return
        message_id = self.parts.new_id()
        status = messages.TaskStatus(request.task, "failed", text=refusal)
        self.payload = encode(Envelope(message_id, status, self.now_ms, re=self.envelope.id))
        self.seq = append_to(connection, self.link_id, message_id, self.payload, self.now_ms)


def live_events(event: Event, device: str, at_ms: int) -> tuple[LiveEvent, ...]:
    """Convert a device's own event to live events, by the names of docs/protocols/link-methods.md."""
    data = event.data
    app = _clean_words(data.get("app", ""), MAX_NAME_CHARS)
    events: list[LiveEvent] = [DeviceEvent(device, at_ms, _clean_words(event.name, MAX_NAME_CHARS))]
    if event.name == "app.exit":
        kind = _clean_words(data.get("kind", "returned"), MAX_NAME_CHARS)
        events.append(AppEnded(device, at_ms, app, kind))
    if event.name == "app.crash":
        events.append(AppEnded(device, at_ms, app, "trapped"))
    if event.name in ("crash", "app.crash"):
        reason = _clean_words(data.get("reason", ""), MAX_REASON_CHARS)
        events.append(Alarm(device, at_ms, event.name, reason))
    if event.name == "mqtt.publish":
        topic = _clean_words(data.get("topic", ""), MAX_TOPIC)
        text = str(data.get("text", ""))[:MAX_PUBLISHED]
        events.append(Published(device, at_ms, app, topic, text))
    return tuple(events)


def presence_of(link_id: str, hello: Hello, address: str, now_ms: int) -> Presence:
    """Build the presence of a device from its hello."""
    return Presence(
        link_id,
        _clean_words(f"{hello.firmware.name} {hello.firmware.version}", MAX_FIRMWARE_CHARS),
        _clean_words(hello.board, MAX_NAME_CHARS),
        hello.capabilities,
        address,
        now_ms,
        hello.kinds or (),
        _update_facts(hello),
    )


def _clean_words(value: object, limit: int) -> str:
    """Cut and clean a text that a device chose, so that it cannot control a terminal or forge a line."""
    return clean_text(str(value)[:limit], one_line=True)


def _update_facts(hello: Hello) -> UpdateFacts | None:
    """Clean and cut the facts about updates in a device's hello."""
    ota = hello.ota
    if ota is None:
        return None
    return UpdateFacts(
        _clean_words(hello.firmware.name, MAX_NAME_CHARS),
        _clean_words(hello.firmware.version, MAX_VERSION_CHARS),
        _clean_words(ota.board, MAX_NAME_CHARS),
        _clean_words(ota.channel, MAX_NAME_CHARS),
        tuple(_clean_words(kind, MAX_NAME_CHARS) for kind in ota.kinds[:MAX_UPDATE_WORDS]),
        tuple(_clean_words(key, MAX_NAME_CHARS) for key in ota.keys[:MAX_UPDATE_WORDS]),
        ota.security_version,
        _clean_words(ota.revision or "", MAX_NAME_CHARS),
    )
