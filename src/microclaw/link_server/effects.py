"""What a device's messages become: rows in the inbox's transaction, live events, log lines. Sends nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from microclaw.events import Alarm, AppEnded, DeviceEvent, LiveEvent, Published
from microclaw.store.link_events import add_to as add_event
from microclaw.store.link_tasks import OpenTask
from microclaw.store.link_tasks import add_to as add_task
from microclaw.store.links import append_to
from microclaw.text import clean_text
from microclaw.wire.link.codec import encode
from microclaw.wire.link.messages import Envelope, Event, Result, RunTask, TaskStatus, Telemetry, Unknown

MAX_EVENT_NAME_CHARS: Final = 200
# Live events wait for slow readers, many of them: each is cut.
MAX_NAME_CHARS: Final = 64
MAX_REASON_CHARS: Final = 200
MAX_TOPIC: Final = 128
MAX_PUBLISHED: Final = 1_024


KeepEvent: TypeAlias = Callable[[sqlite3.Connection, str, bytes, Event, int], None]


@dataclass(slots=True)
class DeviceFeed:
    """Where else what devices send goes, with the device's name: nowhere until somebody sets it.

    `keep_event` runs in the transaction that keeps an event, with its id and Unix time in ms; `event_kept` after it.
    """

    keep_event: KeepEvent | None = None
    event_kept: Callable[[], None] = lambda: None
    telemetry: Callable[[str, Telemetry, int], None] = lambda _name, _telemetry, _at_ms: None


@dataclass(slots=True)
class Effect:
    """A durable message's rows. `refusal` says why a `run_task` is not taken; `device` is its name.

    Afterwards `task` is what was taken, `seq` and `payload` an answer.
    """

    link_id: str
    envelope: Envelope
    expired: bool
    now_ms: int
    new_id: Callable[[], bytes]
    refusal: Callable[[RunTask], str | None]
    feed: DeviceFeed
    device: str
    seq: int | None = None
    payload: bytes = b""
    task: OpenTask | None = None

    def apply(self, connection: sqlite3.Connection) -> None:
        """In that transaction; it may run again after one that failed."""
        self.seq, self.payload, self.task = None, b"", None
        body = self.envelope.body
        if not self.expired and not isinstance(body, Unknown | Result):
            name = body.name if isinstance(body, Event) else ""
            kept = encode(Envelope(self.envelope.id, body, self.envelope.ts_ms))
            add_event(connection, self.link_id, body.type, name[:MAX_EVENT_NAME_CHARS], kept, self.now_ms)
            if isinstance(body, Event) and self.feed.keep_event is not None:
                self.feed.keep_event(connection, self.device, self.envelope.id, body, self.now_ms)
        if isinstance(body, RunTask):
            self._take(connection, body)

    def _take(self, connection: sqlite3.Connection, request: RunTask) -> None:
        """An open task, or its refusal in the outbox."""
        task = OpenTask(self.link_id, request.task, self.envelope.id)
        refusal = self.refusal(request)
        if refusal is None:
            refusal = add_task(connection, task, self.now_ms)
        if refusal is None:
            self.task = task
            return
        message_id = self.new_id()
        status = TaskStatus(request.task, "failed", text=refusal)
        self.payload = encode(Envelope(message_id, status, self.now_ms, re=self.envelope.id))
        self.seq = append_to(connection, self.link_id, message_id, self.payload, self.now_ms)


def live_events(event: Event, device: str, at_ms: int) -> tuple[LiveEvent, ...]:
    """The live events that a device's own event is, by the names of docs/protocols/link-methods.md."""
    data = event.data
    events: list[LiveEvent] = [DeviceEvent(device, at_ms, _words(event.name, MAX_NAME_CHARS))]
    if event.name in ("app.exit", "app.crash"):
        why = "trapped" if event.name == "app.crash" else _words(data.get("kind", "returned"), MAX_NAME_CHARS)
        events.append(AppEnded(device, at_ms, _words(data.get("app", ""), MAX_NAME_CHARS), why))
    if event.name in ("crash", "app.crash"):
        events.append(Alarm(device, at_ms, event.name, _words(data.get("reason", ""), MAX_REASON_CHARS)))
    if event.name == "mqtt.publish":
        app, topic = _words(data.get("app", ""), MAX_NAME_CHARS), _words(data.get("topic", ""), MAX_TOPIC)
        events.append(Published(device, at_ms, app, topic, str(data.get("text", ""))[:MAX_PUBLISHED]))
    return tuple(events)


def _words(value: object, limit: int) -> str:
    """What a device calls something, to be shown: it steers no terminal and forges no line."""
    return clean_text(str(value)[:limit], one_line=True)
