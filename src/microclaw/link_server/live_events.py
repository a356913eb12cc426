"""Live events that a device's own event becomes, by the names of docs/protocols/link-methods.md. Publishes nothing."""

from __future__ import annotations

from typing import Final

from microclaw.events import Alarm, AppEnded, DeviceEvent, LiveEvent
from microclaw.wire.link.messages import Event

# Many wait for a slow reader: each is cut.
MAX_NAME_CHARS: Final = 64
MAX_REASON_CHARS: Final = 200


def told_by(event: Event, device: str, at_ms: int) -> tuple[LiveEvent, ...]:
    data = event.data
    told: list[LiveEvent] = [DeviceEvent(device, at_ms, event.name[:MAX_NAME_CHARS])]
    if event.name in ("app.exit", "app.crash"):
        why = "trapped" if event.name == "app.crash" else str(data.get("kind", "returned"))[:MAX_NAME_CHARS]
        told.append(AppEnded(device, at_ms, str(data.get("app", ""))[:MAX_NAME_CHARS], why))
    if event.name in ("crash", "app.crash"):
        told.append(Alarm(device, at_ms, event.name, str(data.get("reason", ""))[:MAX_REASON_CHARS]))
    return tuple(told)
