"""Turns a device's messages into rows of the inbox's transaction, live events and log lines. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.events import Alarm, AppEnded, DeviceEvent, LiveEvent, Published
from microclaw.hardware.boards.firmware import UpdateFacts
from microclaw.host.store.firmware import MAX_VERSION_CHARS, OfferRow, keys_after, record_status
from microclaw.host.store.link_events import OpenTask, Presence, add_event, add_task
from microclaw.host.store.links import append_to
from microclaw.host.store.sql import Sql
from microclaw.text import clean_text
from microclaw.wire.link import messages
from microclaw.wire.link.codec import encode
from microclaw.wire.link.messages import Envelope, Event, Hello, RunTask, Telemetry

if TYPE_CHECKING:
    from microclaw.devices.link.device_link import DeviceLink

KeepEvent: TypeAlias = Callable[[Sql, str, bytes, Event, int], None]


class DeviceReports(Struct):
    """The receivers of devices' measurements and stored events; app/ sets them, and the defaults do nothing.

    `impossible` gets the number of values that no board can have. `keep_event` runs in the transaction that stores an
    event, with the device's name, the event's id and Unix time in ms. `pass_telemetry` and `pass_event` forward both.
    """

    telemetry: Callable[[str, Telemetry], None] = lambda _endpoint, _telemetry: None
    impossible: Callable[[str, int], None] = lambda _endpoint, _count: None
    event: Callable[[], None] = lambda: None
    keep_event: KeepEvent | None = None
    pass_telemetry: Callable[[str, Telemetry, int], None] = lambda _name, _telemetry, _at_ms: None
    pass_event: Callable[[], None] = lambda: None

    def pass_on(self, endpoint: str, name: str, reported: Telemetry, at_ms: int) -> Telemetry | None:
        """Pass on and return the values that a board can have. Returns None if a required value is impossible."""
        telemetry, refused_count = drop_impossible(reported)
        if refused_count:
            self.impossible(endpoint, refused_count)
        if telemetry is not None:
            self.telemetry(endpoint, telemetry)
            self.pass_telemetry(name, telemetry, at_ms)
        return telemetry

    def notify_stored(self) -> None:
        self.event()
        self.pass_event()


# The lowest and the highest value of a real board (docs/protocols/link.md#telemetry): today's chips, radios and
# counters, with a margin. Programs' readings have no such bounds.
POSSIBLE: Final[dict[str, tuple[float, float]]] = {
    "free_heap": (0, 1 << 32),
    "uptime_s": (0, 1 << 32),
    "rssi": (-150, 50),
    "temperature": (-100, 250),
    "battery": (0, 100),
    "dropped": (0, 1 << 32),
    "glitches": (0, 1 << 32),
    "refused_events": (0, 1 << 32),
}
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
    """The rows of a durable message of `link`.

    `facts` are of the device's hello, `device` is its name. Both are read on the event loop, because `apply` runs in
    the store's thread, where only `link_id` and `parts` of `link` may be read.

    After `apply`, `task` is the task that was accepted, `seq` and `payload` are an answer, `offer` is the update that
    a status was about (and `facts` has the keys that the device trusts now).
    """

    link: DeviceLink
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
            add_event(connection, self.link.link_id, body.type, event_name, message, received_ms=self.now_ms)
        keep_event = self.link.parts.reports.keep_event
        if isinstance(body, Event) and keep_event is not None:
            keep_event(connection, self.device, self.envelope.id, body, self.now_ms)
        if isinstance(body, RunTask):
            self._open_task(connection, body)
        if isinstance(body, messages.OtaStatus):
            self._note_update(connection, body)

    def _note_update(self, connection: Sql, status: messages.OtaStatus) -> None:
        running_version = None if self.facts is None else self.facts.version
        offer = record_status(connection, self.link.link_id, status, running_version, self.now_ms)
        self.offer = offer
        if offer is None or self.facts is None:
            return
        if offer.is_of_keys and offer.state == "healthy":
            self.facts = replace(self.facts, keys=keys_after(connection, offer, self.facts.keys))

    def _open_task(self, connection: Sql, request: RunTask) -> None:
        """Add an open task, or its refusal to the outbox."""
        task = OpenTask(self.link.link_id, request.task, self.envelope.id, self.link.parts.tasks.host)
        refusal = self.link.parts.tasks.refusal(request)
        if refusal is None:
            refusal = add_task(connection, task, self.now_ms)
        if refusal is None:
            self.task = task
            return
        message_id = self.link.parts.new_id()
        status = messages.TaskStatus(request.task, "failed", text=refusal)
        self.payload = encode(Envelope(message_id, status, self.now_ms, re=self.envelope.id))
        self.seq = append_to(connection, self.link.link_id, message_id, self.payload, self.now_ms)


def drop_impossible(reported: Telemetry) -> tuple[Telemetry | None, int]:
    """Drop the values that no board can have, and count them. The telemetry is None if a required value is dropped."""
    impossible = []
    for name, (lowest, highest) in POSSIBLE.items():
        value = getattr(reported, name)
        if value is not None and not lowest <= value <= highest:
            impossible.append(name)
    if not impossible:
        return reported, 0
    if "free_heap" in impossible or "uptime_s" in impossible:
        return None, len(impossible)
    return replace(reported, **dict.fromkeys(impossible)), len(impossible)


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
