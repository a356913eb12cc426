"""Speech to text and text to speech by servers that speak Wyoming (faster-whisper, vosk, piper, ...), over TCP.

The protocol has neither authentication nor encryption: such a server belongs on this machine or a trusted network.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from microclaw.egress.destinations import Purpose
from microclaw.egress.outgoing import connect
from microclaw.errors import ProtocolError, VoiceError
from microclaw.text import clean_text
from microclaw.voice.engines.engine import (
    MAX_SENTENCE_S,
    MAX_TEXT_CHARS,
    RATE_HZ,
    SPOKEN_HZ,
    Engine,
    Recognizer,
    Speech,
    Synthesizer,
    Transcript,
    speakable,
)
from microclaw.wire.wyoming import WyomingDecoder, WyomingEvent, encode_event

CONNECT_S: Final = 3.0
ANSWER_S: Final = 15.0
"""From the last audio to the transcript, from the text to its first audio, and between two pieces of it."""
CHUNK_BYTES: Final = RATE_HZ // 5
MAX_AUDIO_BYTES: Final = MAX_SENTENCE_S * 48_000 * 2
_READ_BYTES: Final = 65_536
_FORMAT: Final = {"rate": RATE_HZ, "width": 2, "channels": 1}


class _WyomingEngine(Engine):
    name = "wyoming"
    service: str
    """The key of its models in a server's `info`."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    async def health(self) -> str | None:
        step = f"start a Wyoming server there, or: microclaw config set voice.wyoming_{self.service} HOST:PORT"
        try:
            async with self._connected() as connection:
                await connection.send("describe")
                while (event := await connection.next_event(CONNECT_S)).type != "info":
                    pass
        except VoiceError as exc:
            return f"{exc.message} (next: {step})"
        if event.data.get(self.service):
            return None
        return f"the Wyoming server at {connection.place} has no {self.service} (next: {step})"

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Connection]:
        """Every failure inside is a VoiceError, an `error` event of the server among them."""
        place = f"{self._host}:{self._port}"
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await connect(Purpose.CONFIGURED, self._host, self._port)
        except TimeoutError as exc:
            raise VoiceError(f"nobody answers at {place} within {CONNECT_S:g} s") from exc
        except OSError as exc:
            raise VoiceError(f"no Wyoming server at {place}: {exc.strerror or exc}") from exc
        try:
            yield _Connection(place, reader, writer)
        except TimeoutError as exc:
            raise VoiceError(f"the Wyoming server at {place} did not answer in time") from exc
        except OSError as exc:
            raise VoiceError(f"the connection to {place} broke: {exc.strerror or exc}") from exc
        except ProtocolError as exc:
            raise VoiceError(f"what {place} sent is no Wyoming: {exc.message}", foreign=True) from exc
        finally:
            writer.transport.abort()  # nobody waits until a server takes what it has not read yet
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class WyomingRecognizer(_WyomingEngine, Recognizer):
    service = "asr"

    async def hear(self, pcm: bytes) -> Transcript:
        async with self._connected() as connection, asyncio.timeout(ANSWER_S):
            await connection.send("transcribe", {"language": "en"})
            await connection.send("audio-start", {**_FORMAT, "timestamp": 0})
            for at in range(0, len(pcm), CHUNK_BYTES):
                await connection.send("audio-chunk", _FORMAT, pcm[at : at + CHUNK_BYTES])
            await connection.send("audio-stop")
            text = ""
            while True:
                match event := await connection.next_event(ANSWER_S):
                    case WyomingEvent(type="transcript"):
                        text = event.text_of("text")
                        break
                    case WyomingEvent(type="transcript-chunk"):  # where the server sends its pieces alone
                        text = (text + event.text_of("text"))[:MAX_TEXT_CHARS]
                    case WyomingEvent(type="transcript-stop"):
                        break
        return Transcript(clean_text(text, one_line=True, limit=MAX_TEXT_CHARS))


class WyomingSynthesizer(_WyomingEngine, Synthesizer):
    service = "tts"

    def __init__(self, host: str, port: int, *, voice: str | None = None) -> None:
        super().__init__(host, port)
        self._voice = voice

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        if not (text := speakable(text)):
            return
        async with self._connected() as connection:
            voice = {} if self._voice is None else {"voice": {"name": self._voice}}
            await connection.send("synthesize", {"text": text, **voice})
            left, rate_hz = MAX_AUDIO_BYTES, 0
            while (event := await connection.next_event(ANSWER_S)).type != "audio-stop":
                if event.type in ("audio-start", "audio-chunk"):
                    rate_hz = _rate_of(event, rate_hz)
                left -= len(event.payload)
                if left < 0 or len(event.payload) % 2:
                    raise VoiceError(f"the Wyoming server at {connection.place} sent too much audio, or half a sample")
                if event.type == "audio-chunk" and event.payload:
                    yield Speech(event.payload, rate_hz)
            if left == MAX_AUDIO_BYTES:
                raise VoiceError(f"the Wyoming server at {connection.place} sent no audio for a sentence")


class _Connection:
    def __init__(self, place: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.place = place
        self._reader, self._writer = reader, writer
        self._decoder = WyomingDecoder()

    async def send(self, kind: str, data: Mapping[str, Any] | None = None, payload: bytes = b"") -> None:
        self._writer.write(encode_event(WyomingEvent(kind, data or {}, payload)))
        await self._writer.drain()

    async def next_event(self, timeout_s: float) -> WyomingEvent:
        async with asyncio.timeout(timeout_s):
            while (event := self._decoder.next_event()) is None:
                if not (data := await self._reader.read(_READ_BYTES)):
                    raise VoiceError(f"the Wyoming server at {self.place} closed the connection")
                self._decoder.receive(data)
        if event.type == "error":
            said = clean_text(event.text_of("text"), one_line=True, limit=200)
            raise VoiceError(f"the Wyoming server at {self.place} failed: {said}", foreign=True)
        return event


def _rate_of(event: WyomingEvent, before_hz: int) -> int:
    rate_hz, width, channels = event.number_of("rate"), event.number_of("width"), event.number_of("channels")
    if (width, channels) != (2, 1) or rate_hz not in SPOKEN_HZ or before_hz not in (0, rate_hz):
        raise VoiceError(
            f"a Wyoming server's audio has {channels} channels of {8 * width} bits at {rate_hz} Hz: "
            "one channel of 16 bits at one rate of 8,000 to 48,000 Hz is understood"
        )
    return rate_hz
