"""The lines of GET /v1/events (Server-Sent Events) as events. No IO."""

from __future__ import annotations

import json
from typing import Final

from msgspec import Struct

from microclaw.errors import ProtocolError
from microclaw.wire.host_api import JsonObject

MAX_EVENT_BYTES: Final = 4 << 20


class LiveEvent(Struct, frozen=True):
    """`kind` as in docs/reference/events.md, "edges" of a board that is watched, or "lost": so many were missed."""

    kind: str
    data: JsonObject
    event_id: str | None = None


class EventDecoder:
    """`receive(line)` gives an event with the empty line that ends it. (WHATWG HTML, 9.2.6)"""

    def __init__(self) -> None:
        self._kind = ""
        self._id: str | None = None
        self._data = b""

    def receive(self, line: bytes) -> LiveEvent | None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"event":
                self._kind = value.decode("utf-8", "replace")
            case b"id":
                self._id = value.decode("utf-8", "replace")
            case b"data":
                self._data += value
                if len(self._data) > MAX_EVENT_BYTES:
                    raise ProtocolError(f"the host sent an event of more than {MAX_EVENT_BYTES:,} bytes")
            case b"" if not line:
                return self._ended()
        return None

    def _ended(self) -> LiveEvent | None:
        kind, event_id, data = self._kind, self._id, self._data
        self._kind, self._id, self._data = "", None, b""
        if not data:
            return None
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as exc:
            text = "the host sent an event that is not JSON"
            raise ProtocolError(text, next_step="is this a microclaw host?") from exc
        if not isinstance(value, dict):
            raise ProtocolError(f"the host sent an event that is {type(value).__name__}, an object was expected")
        return LiveEvent(kind or "message", value, event_id)
