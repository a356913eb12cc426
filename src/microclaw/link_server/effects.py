"""Turns a device's messages into rows in the inbox's transaction, live events, log lines. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.boards.firmware import UpdateFacts
from microclaw.events import Alarm, AppEnded, DeviceEvent, LiveEvent, Published
from microclaw.store.firmware import MAX_VERSION_CHARS, OfferRow, keys_after, status_in
from microclaw.store.link_events import OpenTask, Presence, add_event, add_task
from microclaw.store.links import append_to
from microclaw.store.sql import Sql
from microclaw.text import clean_text
from microclaw.wire.link import messages
from microclaw.wire.link.codec import encode
from microclaw.wire.link.messages import Envelope, Event, Hello, RunTask, Telemetry

if TYPE_CHECKING:
    from microclaw.link_server.device_link import DeviceLink

KeepEvent: TypeAlias = Callable[[Sql, str, bytes, Event, int], None]


class DeviceReports(Struct):
    """The receivers of devices' measurements and stored events, and of both to pass on; app/ says them. Nobody
    before.

    `impossible` gets the number of values that no board can have. `keep_event` runs in the transaction that stores an
    event, with the device's name, the event's id and Unix time in ms.
    """

    telemetry: Callable[[str, Telemetry], None] = lambda _endpoint, _telemetry: None
    impossible: Callable[[str, int], None] = lambda _endpoint, _count: None
    event: Callable[[], None] = lambda: None
    keep_event: KeepEvent | None = None
    pass_telemetry: Callable[[str, Telemetry, int], None] = lambda _name, _telemetry, _at_ms: None
    pass_event: Callable[[], None] = lambda: None

    def took(self, endpoint: str, name: str, told: Telemetry, at_ms: int) -> Telemetry | None:
        """The values that a board can have, which are passed on; None where there are none."""
        telemetry, refused = possible(told)
        if refused:
            self.impossible(endpoint, refused)
        if telemetry is not None:
            self.telemetry(endpoint, telemetry)
            self.pass_telemetry(name, telemetry, at_ms)
        return telemetry

    def stored(self) -> None:
        self.event()
        self.pass_event()


# The least and the most that a board can have (docs/protocols/link.md#telemetry): chips, radios and counters of today,
# with room. Programs' readings have no such bounds.
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
# Live events wait for slow readers, many of them: each is cut.
MAX_NAME_CHARS: Final = 64
MAX_REASON_CHARS: Final = 200
MAX_FIRMWARE_CHARS: Final = 100
MAX_UPDATE_WORDS: Final = 8  # kinds of updates, keys
MAX_TOPIC: Final = 128
MAX_PUBLISHED: Final = 1_024


@dataclass(slots=True)
class Effect:
    """The rows of a durable message of `link`; `facts` are what its hello said, `device` is its name, read on the event
    loop: `apply` runs in the store's thread, where of `link` only `link_id` and `parts` may be read.

    Afterwards `task` is what was taken, `seq` and `payload` an answer, `offer` the update that a status was about (and
    `facts` has the keys that the device trusts now).
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
        """In that transaction; it may run again after one that failed."""
        self.seq = None
        self.payload = b""
        self.task = None
        self.offer = None
        body = self.envelope.body
        if not isinstance(body, messages.Unknown | messages.Result):
            name = body.name if isinstance(body, Event) else ""
            kept = encode(Envelope(self.envelope.id, body, self.envelope.ts_ms))
            add_event(
                connection, self.link.link_id, body.type, name[:MAX_EVENT_NAME_CHARS], kept, received_ms=self.now_ms
            )
            if isinstance(body, Event) and (keep_event := self.link.parts.reports.keep_event) is not None:
                keep_event(connection, self.device, self.envelope.id, body, self.now_ms)
        if isinstance(body, RunTask):
            self._take(connection, body)
        if isinstance(body, messages.OtaStatus):
            running = None if self.facts is None else self.facts.version
            self.offer = offer = status_in(connection, self.link.link_id, body, running, self.now_ms)
            if offer is not None and offer.is_of_keys and offer.state == "healthy" and self.facts is not None:
                self.facts = replace(self.facts, keys=keys_after(connection, offer, self.facts.keys))

    def _take(self, connection: Sql, request: RunTask) -> None:
        """An open task, or its refusal in the outbox."""
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


def possible(told: Telemetry) -> tuple[Telemetry | None, int]:
    """Without the values that no board can have, and how many these are; None where it has to have one of them."""
    odd = [
        name
        for name, (least, most) in POSSIBLE.items()
        if (value := getattr(told, name)) is not None and not least <= value <= most
    ]
    if "free_heap" in odd or "uptime_s" in odd:
        return None, len(odd)
    return (replace(told, **dict.fromkeys(odd)) if odd else told), len(odd)


def live_events(event: Event, device: str, at_ms: int) -> tuple[LiveEvent, ...]:
    """The live events that a device's own event is, by the names of docs/protocols/link-methods.md."""
    data = event.data
    events: list[LiveEvent] = [DeviceEvent(device, at_ms, _words(event.name, MAX_NAME_CHARS))]
    if event.name in ("app.exit", "app.crash"):
        if event.name == "app.crash":
            why = "trapped"
        else:
            why = _words(data.get("kind", "returned"), MAX_NAME_CHARS)
        events.append(AppEnded(device, at_ms, _words(data.get("app", ""), MAX_NAME_CHARS), why))
    if event.name in ("crash", "app.crash"):
        events.append(Alarm(device, at_ms, event.name, _words(data.get("reason", ""), MAX_REASON_CHARS)))
    if event.name == "mqtt.publish":
        app = _words(data.get("app", ""), MAX_NAME_CHARS)
        topic = _words(data.get("topic", ""), MAX_TOPIC)
        events.append(Published(device, at_ms, app, topic, str(data.get("text", ""))[:MAX_PUBLISHED]))
    return tuple(events)


def presence_of(link_id: str, hello: Hello, address: str, now_ms: int) -> Presence:
    """The presence that a device's greeting gives."""
    return Presence(
        link_id,
        _words(f"{hello.firmware.name} {hello.firmware.version}", MAX_FIRMWARE_CHARS),
        _words(hello.board, MAX_NAME_CHARS),
        hello.capabilities,
        address,
        now_ms,
        hello.kinds or (),
        _update_facts(hello),
    )


def _words(value: object, limit: int) -> str:
    """A text that a device chose, to be shown: it steers no terminal and forges no line."""
    return clean_text(str(value)[:limit], one_line=True)


def _update_facts(hello: Hello) -> UpdateFacts | None:
    """The facts about updates in a device's hello: cleaned and cut."""
    told = hello.ota
    if told is None:
        return None
    return UpdateFacts(
        _words(hello.firmware.name, MAX_NAME_CHARS),
        _words(hello.firmware.version, MAX_VERSION_CHARS),
        _words(told.board, MAX_NAME_CHARS),
        _words(told.channel, MAX_NAME_CHARS),
        tuple(_words(kind, MAX_NAME_CHARS) for kind in told.kinds[:MAX_UPDATE_WORDS]),
        tuple(_words(key, MAX_NAME_CHARS) for key in told.keys[:MAX_UPDATE_WORDS]),
        told.security_version,
        _words(told.revision or "", MAX_NAME_CHARS),
    )
