"""Bytes to events of the Wyoming protocol and back, with every length bounded. Knows no event's meaning.

An event is a line of JSON (`type`, `data`, `data_length`, `payload_length`), then `data_length` bytes of JSON that are
merged over `data`, then `payload_length` bytes: https://github.com/OHF-voice/wyoming. Decision 0017.
"""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from typing import Annotated, Any, Final, TypeVar

from msgspec import Meta, Struct, field, json

from microclaw.errors import ProtocolError

MAX_LINE_BYTES: Final = 16_384
MAX_DATA_BYTES: Final = 262_144
"""A server's `info` names each of its voices: some have more than a hundred."""
MAX_PAYLOAD_BYTES: Final = 262_144
MAX_TYPE_CHARS: Final = 64
VERSION: Final = "1.7.0"
"""Of the protocol; peers show it and decide nothing by it."""

T = TypeVar("T")


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
    if event.data:
        data = dumps(event.data).encode()
    else:
        data = b""
    if data:
        head["data_length"] = len(data)
    if event.payload:
        head["payload_length"] = len(event.payload)
    return dumps(head).encode() + b"\n" + data + event.payload


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
            self._head = _read(_HEAD, bytes(self._bytes[:end]))
            del self._bytes[: end + 1]
        head = self._head
        data_bytes = self._head.data_length or 0
        whole = data_bytes + (head.payload_length or 0)
        if len(self._bytes) < whole:
            return None
        data = head.data or {}
        if data_bytes:
            merged: dict[str, Any] = _read(_DATA, bytes(self._bytes[:data_bytes]))
            data |= merged
        payload = bytes(self._bytes[data_bytes:whole])
        del self._bytes[:whole]
        self._head = None
        return WyomingEvent(head.type, data, payload)


class _Head(Struct, frozen=True):
    type: Annotated[str, Meta(min_length=1, max_length=MAX_TYPE_CHARS)]
    data: dict[str, Any] | None = None
    data_length: Annotated[int, Meta(ge=0, le=MAX_DATA_BYTES)] | None = None
    payload_length: Annotated[int, Meta(ge=0, le=MAX_PAYLOAD_BYTES)] | None = None


_HEAD: Final = json.Decoder(_Head)
_DATA: Final = json.Decoder(dict[str, Any])


def _read(reader: json.Decoder[T], text: bytes) -> T:
    try:
        return reader.decode(text)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(f"Wyoming: {exc}"[:200]) from exc
