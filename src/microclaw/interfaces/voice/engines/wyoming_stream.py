"""One connection of the Wyoming protocol, for client and server: events in and out, and the only supported audio.

The package `wyoming` reads and writes the events. It reads as many bytes as the peer claims, so every length is checked
here before it sees any of them. An event is a line of JSON (`type`, `data`, `data_length`, `payload_length`), then
`data_length` bytes of JSON that are merged over `data`, then `payload_length` bytes.
"""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, json
from wyoming.audio import AudioChunk
from wyoming.event import Event, Eventable, async_write_event, read_event

from microclaw.errors import ProtocolError
from microclaw.interfaces.voice.engines.engine import SPOKEN_HZ

SEND_S: Final = 10.0
READ_BYTES: Final = 65_536
MAX_LINE_BYTES: Final = 16_384
MAX_DATA_BYTES: Final = 262_144
"""A server's `info` names each of its voices: some have more than a hundred."""
MAX_PAYLOAD_BYTES: Final = 262_144
MAX_TYPE_CHARS: Final = 64
SAMPLE_BYTES: Final = 2
CHANNELS: Final = 1


class WyomingStream:
    """Events of one connection. All methods raise OSError, and TimeoutError for a peer that is too slow."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def next_event(self, timeout_s: float) -> Event | None:
        """Return the next event, or None when the peer has closed the connection. Raises ProtocolError."""
        # A flood of small events is all in the buffer: without this, it would hold the event loop until it is read.
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(timeout_s):
                head = _read_head(await self._next_line())
                data = await self.reader.readexactly(head.data_length or 0)
                payload = await self.reader.readexactly(head.payload_length or 0)
        except asyncio.IncompleteReadError:
            return None
        return _read_event(head, data, payload)

    async def _next_line(self) -> bytes:
        """Return the first line of an event. Raises ProtocolError if it is too long, and IncompleteReadError."""
        try:
            line = await self.reader.readuntil(b"\n")
        # The reader has its own limit of 64 KB, so a peer that sends no end of a line fills no more.
        except asyncio.LimitOverrunError as exc:
            raise _too_long_line() from exc
        if len(line) > MAX_LINE_BYTES:
            raise _too_long_line()
        return line

    async def send(self, message: Eventable) -> None:
        # A write on a closed transport of uvloop raises a RuntimeError.
        if self.writer.transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        async with asyncio.timeout(SEND_S):
            await async_write_event(message.event(), self.writer)

    async def send_audio(self, rate_hz: int, pcm: bytes) -> None:
        for start in range(0, len(pcm), READ_BYTES):
            piece = pcm[start : start + READ_BYTES]
            await self.send(AudioChunk(rate_hz, SAMPLE_BYTES, CHANNELS, piece))


def text_of(event: Event, name: str) -> str:
    """Return a text of the event's data; "" if there is none. Raises ProtocolError for another kind of value."""
    value = event.data.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ProtocolError(f"{event.type}: {name} is a {type(value).__name__}, not a text")
    return value


def rate_of(event: Event) -> int:
    """Return the rate of a peer's audio.

    Raises ProtocolError unless it is one channel of 16 bits, at a rate of 8,000 to 48,000 Hz.
    """
    rate_hz = _number_of(event, "rate")
    width = _number_of(event, "width")
    channels = _number_of(event, "channels")
    if (width, channels) != (SAMPLE_BYTES, CHANNELS) or rate_hz not in SPOKEN_HZ:
        raise ProtocolError(
            f"audio of {channels} channels, {width} bytes a sample, {rate_hz} Hz: "
            "one channel of 2 bytes at 8,000 to 48,000 Hz is understood"
        )
    return rate_hz


def _number_of(event: Event, name: str) -> int:
    value = event.data.get(name)
    # A bool is an int, too.
    if type(value) is not int:
        raise ProtocolError(f"{event.type}: {name} is no whole number")
    return value


class _EventHead(Struct, frozen=True, omit_defaults=True):
    """The line of an event. A null means that there is none, which the package does not know."""

    type: Annotated[str, Meta(min_length=1, max_length=MAX_TYPE_CHARS)]
    data: dict[str, Any] | None = None
    data_length: Annotated[int, Meta(ge=0, le=MAX_DATA_BYTES)] | None = None
    payload_length: Annotated[int, Meta(ge=0, le=MAX_PAYLOAD_BYTES)] | None = None


_HEAD: Final = json.Decoder(_EventHead)
_DATA: Final = json.Decoder(dict[str, Any])


def _read_head(line: bytes) -> _EventHead:
    try:
        return _HEAD.decode(line)
    except (ValueError, RecursionError) as exc:
        raise _no_event(exc) from exc


def _read_event(head: _EventHead, data: bytes, payload: bytes) -> Event:
    """Return the event of a checked line and of what follows it. Raises ProtocolError."""
    try:
        if data:
            # The package also accepts lone surrogates, which nothing here can write, and NaN.
            _DATA.decode(data)
        event = read_event(BytesIO(json.encode(head) + b"\n" + data + payload))
    except (ValueError, RecursionError) as exc:
        raise _no_event(exc) from exc
    if event is None:
        raise ProtocolError(f"Wyoming: no event: {head.type}")
    return event


def _no_event(exc: Exception) -> ProtocolError:
    return ProtocolError(f"Wyoming: {exc}"[:200])


def _too_long_line() -> ProtocolError:
    return ProtocolError(f"Wyoming: a line of more than {MAX_LINE_BYTES:,} bytes")
