"""One connection of the Wyoming protocol, for client and server: events in and out, and the only supported audio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from microclaw.errors import ProtocolError
from microclaw.interfaces.voice.engines.engine import SPOKEN_HZ
from microclaw.wire.wyoming import WyomingDecoder, WyomingEvent, encode_event

SEND_S: Final = 10.0
READ_BYTES: Final = 65_536


class WyomingStream:
    """Events of one connection. All methods raise OSError, and TimeoutError for a peer that is too slow."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = WyomingDecoder()

    async def next_event(self, timeout_s: float) -> WyomingEvent | None:
        """Return the next event, or None when the peer has closed the connection. Raises ProtocolError."""
        async with asyncio.timeout(timeout_s):
            while (event := self._decoder.next_event()) is None:
                data = await self.reader.read(READ_BYTES)
                if not data:
                    return None
                self._decoder.receive(data)
        return event

    async def send(self, kind: str, data: Mapping[str, Any] | None = None, payload: bytes = b"") -> None:
        # A write on a closed transport of uvloop raises a RuntimeError.
        if self.writer.transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        async with asyncio.timeout(SEND_S):
            self.writer.write(encode_event(WyomingEvent(kind, data or {}, payload)))
            await self.writer.drain()

    async def send_audio(self, rate_hz: int, pcm: bytes) -> None:
        for start in range(0, len(pcm), READ_BYTES):
            await self.send("audio-chunk", audio_format(rate_hz), pcm[start : start + READ_BYTES])


def audio_format(rate_hz: int) -> dict[str, int]:
    return {"rate": rate_hz, "width": 2, "channels": 1}


def rate_of(event: WyomingEvent) -> int:
    """Return the rate of a peer's audio.

    Raises ProtocolError unless it is one channel of 16 bits, at a rate of 8,000 to 48,000 Hz.
    """
    rate_hz = event.number_of("rate")
    width = event.number_of("width")
    channels = event.number_of("channels")
    if (width, channels) != (2, 1) or rate_hz not in SPOKEN_HZ:
        raise ProtocolError(
            f"audio of {channels} channels, {width} bytes a sample, {rate_hz} Hz: "
            "one channel of 2 bytes at 8,000 to 48,000 Hz is understood"
        )
    return rate_hz
