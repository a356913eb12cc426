"""Bytes to events of the Wyoming protocol and back, with every length bounded. Knows no event's meaning.

An event is a line of JSON (`type`, `data`, `data_length`, `payload_length`), then `data_length` bytes of JSON that are
merged over `data`, then `payload_length` bytes: https://github.com/OHF-voice/wyoming. Decision 0039.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field

from microclaw.errors import ProtocolError

MAX_LINE_BYTES: Final = 16_384
MAX_DATA_BYTES: Final = 262_144
"""A server's `info` names each of its voices: some have more than a hundred."""
MAX_PAYLOAD_BYTES: Final = 262_144
MAX_TYPE_CHARS: Final = 64
VERSION: Final = "1.7.0"
"""Of the protocol; peers show it and decide nothing by it."""


class WyomingEvent(Struct, frozen=True):
    """`text_of` and `number_of` read `data`, which is a peer's."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""

    def text_of(self, name: str) -> str:
        """A text of the data; "" for none. Raises ProtocolError for another kind of value."""
        value = self.data.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise ProtocolError(f"{self.type}: {name} is a {type(value).__name__}, not a text")
        return value

    def number_of(self, name: str) -> int:
        """A whole number of the data. Raises ProtocolError where there is none."""
        value = self.data.get(name)
        if type(value) is not int:
            raise ProtocolError(f"{self.type}: {name} is no whole number")
        return value


def encode_event(event: WyomingEvent) -> bytes:
    """The event with its data behind its line, as the reference implementation writes it."""
    head: dict[str, object] = {"type": event.type, "version": VERSION}
    data = json.dumps(event.data, ensure_ascii=True).encode() if event.data else b""
    if data:
        head["data_length"] = len(data)
    if event.payload:
        head["payload_length"] = len(event.payload)
    return json.dumps(head).encode() + b"\n" + data + event.payload


class WyomingDecoder:
    """`receive` bytes, then `next_event` until None. Both raise ProtocolError, after which nothing can be read."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._head: _Head | None = None

    def receive(self, data: bytes) -> None:
        self._bytes += data

    def next_event(self) -> WyomingEvent | None:
        if self._head is None:
            end = self._bytes.find(b"\n", 0, MAX_LINE_BYTES + 1)
            if end < 0:
                if len(self._bytes) > MAX_LINE_BYTES:
                    raise ProtocolError(f"Wyoming: a line of more than {MAX_LINE_BYTES:,} bytes")
                return None
            self._head = _read_head(bytes(self._bytes[:end]))
            del self._bytes[: end + 1]
        head = self._head
        whole = head.data_bytes + head.payload_bytes
        if len(self._bytes) < whole:
            return None
        data = dict(head.data)
        if head.data_bytes:
            data.update(_object(bytes(self._bytes[: head.data_bytes])))
        payload = bytes(self._bytes[head.data_bytes : whole])
        del self._bytes[:whole]
        self._head = None
        return WyomingEvent(head.type, data, payload)


class _Head(Struct, frozen=True):
    type: str
    data: Mapping[str, Any]
    data_bytes: int
    payload_bytes: int


def _read_head(line: bytes) -> _Head:
    found = _object(line)
    kind, data = found.get("type"), found.get("data")
    if not isinstance(kind, str) or not 0 < len(kind) <= MAX_TYPE_CHARS:
        raise ProtocolError(f"Wyoming: an event's type is a text of 1 to {MAX_TYPE_CHARS} characters")
    if data is not None and not isinstance(data, dict):
        raise ProtocolError("Wyoming: an event's data is an object")
    sizes = _length(found, "data_length", MAX_DATA_BYTES), _length(found, "payload_length", MAX_PAYLOAD_BYTES)
    return _Head(kind, data or {}, *sizes)


def _length(head: Mapping[str, Any], name: str, most: int) -> int:
    value = head.get(name)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= most:
        raise ProtocolError(f"Wyoming: {name} is from 0 to {most:,}")
    return value


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text.decode())
        if b"\\ud" in text.lower():
            json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError) as exc:
        raise ProtocolError("Wyoming: that is no JSON") from exc
    if not isinstance(found, dict):
        raise ProtocolError("Wyoming: that JSON is no object")
    return found
