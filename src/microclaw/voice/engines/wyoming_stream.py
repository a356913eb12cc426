"""One connection of the Wyoming protocol, of either end: events in and out, and the one form of audio understood."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from microclaw.errors import ProtocolError
from microclaw.voice.engines.engine import SPOKEN_HZ
from microclaw.wire.wyoming import WyomingDecoder, WyomingEvent, encode_event

SEND_S: Final = 10.0
READ_BYTES: Final = 65_536


class WyomingStream:
    """Both methods raise OSError, and TimeoutError for a peer that is too slow."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = WyomingDecoder()

    async def next_event(self, timeout_s: float) -> WyomingEvent | None:
        """None when the peer has closed the connection. Raises ProtocolError."""
        async with asyncio.timeout(timeout_s):
            while (event := self._decoder.next_event()) is None:
                data = await self.reader.read(READ_BYTES)
                if not data:
                    return None
                self._decoder.receive(data)
        return event

    async def send(self, kind: str, data: Mapping[str, Any] | None = None, payload: bytes = b"") -> None:
        if self.writer.transport.is_closing():  # a write of uvloop's would raise what is no OSError
            raise ConnectionResetError("the connection is closed")
        async with asyncio.timeout(SEND_S):
            self.writer.write(encode_event(WyomingEvent(kind, data or {}, payload)))
            await self.writer.drain()

    async def send_audio(self, rate_hz: int, pcm: bytes) -> None:
        for at in range(0, len(pcm), READ_BYTES):
            await self.send("audio-chunk", audio_format(rate_hz), pcm[at : at + READ_BYTES])


def audio_format(rate_hz: int) -> dict[str, int]:
    return {"rate": rate_hz, "width": 2, "channels": 1}


def rate_of(event: WyomingEvent) -> int:
    """The rate of a peer's audio. Raises ProtocolError for any but one channel of 16 bits at a rate that is played."""
    rate_hz, width, channels = (event.number_of(name) for name in ("rate", "width", "channels"))
    if (width, channels) != (2, 1) or rate_hz not in SPOKEN_HZ:
        raise ProtocolError(
            f"audio of {channels} channels, {width} bytes a sample, {rate_hz} Hz: "
            "one channel of 2 bytes at 8,000 to 48,000 Hz is understood"
        )
    return rate_hz
