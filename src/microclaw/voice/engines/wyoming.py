"""Speech to text and text to speech by servers that speak Wyoming (faster-whisper, vosk, piper, ...), over TCP.

The protocol has neither authentication nor encryption: such a server belongs on this machine or a trusted network.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from microclaw.egress.destinations import Purpose
from microclaw.egress.outgoing import connect
from microclaw.errors import ProtocolError, VoiceError
from microclaw.text import clean_text
from microclaw.voice.engines.engine import RATE_HZ, Recognition, Speech, Transcript
from microclaw.voice.engines.program import MAX_SENTENCE_S, speakable
from microclaw.wire.wyoming import WyomingDecoder, WyomingEvent, encode_event

CONNECT_S: Final = 3.0
ANSWER_S: Final = 15.0
"""From the last audio to the transcript, from the text to its first audio, and between two pieces of it."""
MAX_BEHIND_BYTES: Final = 10 * RATE_HZ * 2
MAX_TRANSCRIPT_CHARS: Final = 2_000
MAX_AUDIO_BYTES: Final = MAX_SENTENCE_S * 48_000 * 2
_READ_BYTES: Final = 65_536
_FORMAT: Final = {"rate": RATE_HZ, "width": 2, "channels": 1}


class WyomingRecognizer:
    """Partials come where the server streams its transcript."""

    name = "wyoming"

    def __init__(self, host: str, port: int, *, language: str = "en") -> None:
        self._host, self._port, self._language = host, port, language

    async def warm_up(self) -> None: ...

    async def begin(self, on_partial: Callable[[str], None]) -> Recognition:
        connection = await _Connection.opened(self._host, self._port)
        connection.send(WyomingEvent("transcribe", {"language": self._language}))
        connection.send(WyomingEvent("audio-start", {**_FORMAT, "timestamp": 0}))
        return _WyomingRecognition(connection, on_partial)

    async def health(self) -> str | None:
        return await _health(self._host, self._port, "asr", "voice.wyoming_asr")

    async def close(self) -> None: ...


class WyomingSynthesizer:
    name = "wyoming"

    def __init__(self, host: str, port: int, *, voice: str | None = None) -> None:
        self._host, self._port, self._voice = host, port, voice

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        text = speakable(text)
        if not text:
            return
        async with _connected(self._host, self._port) as connection:
            data: dict[str, object] = {"text": text}
            if self._voice is not None:
                data["voice"] = {"name": self._voice}
            connection.send(WyomingEvent("synthesize", data))
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

    async def health(self) -> str | None:
        return await _health(self._host, self._port, "tts", "voice.wyoming_tts")

    async def close(self) -> None: ...


class _WyomingRecognition:
    def __init__(self, connection: _Connection, on_partial: Callable[[str], None]) -> None:
        self._connection = connection
        self._on_partial = on_partial
        self._is_over = False
        self._reading = asyncio.create_task(self._read(), name="voice: Wyoming transcript")
        self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())  # told by `finish`

    def feed(self, pcm: bytes) -> None:
        if self._connection.behind_bytes > MAX_BEHIND_BYTES:
            raise VoiceError(f"the Wyoming server at {self._connection.place} takes audio too slowly")
        self._connection.send(WyomingEvent("audio-chunk", _FORMAT, pcm))

    def pause(self) -> None: ...

    async def finish(self) -> Transcript:
        try:
            self._connection.send(WyomingEvent("audio-stop", {}))
            async with asyncio.timeout(ANSWER_S):
                return Transcript(await self._reading)
        except TimeoutError as exc:
            raise VoiceError(f"no transcript of {self._connection.place} within {ANSWER_S:g} s") from exc
        finally:
            self.abandon()

    def abandon(self) -> None:
        self._is_over = True
        self._reading.cancel()
        self._connection.close()

    async def _read(self) -> str:
        try:
            return await self._transcript()
        except ProtocolError as exc:
            raise VoiceError(f"what {self._connection.place} sent is no Wyoming: {exc.message}", foreign=True) from exc

    async def _transcript(self) -> str:
        """The transcript: a whole one, or what its pieces make where the server sends those alone."""
        pieces = ""
        while True:
            event = await self._connection.next_event(None)
            match event.type:
                case "transcript":
                    return _words(event.text_of("text"))
                case "transcript-chunk":
                    pieces = (pieces + event.text_of("text"))[:MAX_TRANSCRIPT_CHARS]
                    if not self._is_over:
                        self._on_partial(_words(pieces))
                case "transcript-stop":
                    return _words(pieces)


class _Connection:
    """Every failure is a VoiceError, an `error` event of the server among them."""

    def __init__(self, place: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.place = place
        self._reader, self._writer = reader, writer
        self._decoder = WyomingDecoder()

    @classmethod
    async def opened(cls, host: str, port: int) -> _Connection:
        place = f"{host}:{port}"
        try:
            async with asyncio.timeout(CONNECT_S):
                return cls(place, *await connect(Purpose.CONFIGURED, host, port))
        except TimeoutError as exc:
            raise VoiceError(f"nobody answers at {place} within {CONNECT_S:g} s") from exc
        except OSError as exc:
            raise VoiceError(f"no Wyoming server at {place}: {exc.strerror or exc}") from exc

    @property
    def behind_bytes(self) -> int:
        return self._writer.transport.get_write_buffer_size()

    def send(self, event: WyomingEvent) -> None:
        if self._writer.transport.is_closing():
            raise VoiceError(f"the Wyoming server at {self.place} closed the connection")
        self._writer.write(encode_event(event))

    async def next_event(self, timeout_s: float | None) -> WyomingEvent:
        try:
            async with asyncio.timeout(timeout_s):
                while (event := self._decoder.next_event()) is None:
                    if not (data := await self._reader.read(_READ_BYTES)):
                        raise VoiceError(f"the Wyoming server at {self.place} closed the connection")
                    self._decoder.receive(data)
            if event.type != "error":
                return event
            said = clean_text(event.text_of("text"), one_line=True, limit=200)
        except TimeoutError as exc:
            raise VoiceError(f"the Wyoming server at {self.place} did not answer within {timeout_s:g} s") from exc
        except OSError as exc:
            raise VoiceError(f"the connection to {self.place} broke: {exc.strerror or exc}") from exc
        except ProtocolError as exc:
            raise VoiceError(f"what {self.place} sent is no Wyoming: {exc.message}", foreign=True) from exc
        raise VoiceError(f"the Wyoming server at {self.place} failed: {said}", foreign=True)

    def close(self) -> None:
        """At once: nobody waits until a server takes what it has not read yet."""
        if self.behind_bytes:
            self._writer.transport.abort()
        else:
            self._writer.close()


@asynccontextmanager
async def _connected(host: str, port: int) -> AsyncIterator[_Connection]:
    connection = await _Connection.opened(host, port)
    try:
        yield connection
    finally:
        connection.close()
        with contextlib.suppress(OSError):
            await connection._writer.wait_closed()


async def _health(host: str, port: int, service: str, setting: str) -> str | None:
    step = f"start a Wyoming server there, or: microclaw config set {setting} HOST:PORT"
    try:
        async with _connected(host, port) as connection:
            connection.send(WyomingEvent("describe"))
            while (event := await connection.next_event(CONNECT_S)).type != "info":
                pass
    except VoiceError as exc:
        return f"{exc.message} (next: {step})"
    return None if event.data.get(service) else f"the Wyoming server at {host}:{port} has no {service} (next: {step})"


def _rate_of(event: WyomingEvent, before_hz: int) -> int:
    try:
        rate_hz, width, channels = event.number_of("rate"), event.number_of("width"), event.number_of("channels")
    except ProtocolError as exc:
        raise VoiceError(f"a Wyoming server's audio has no format: {exc.message}", foreign=True) from exc
    if (width, channels) != (2, 1) or not 8_000 <= rate_hz <= 48_000 or before_hz not in (0, rate_hz):
        raise VoiceError(
            f"a Wyoming server's audio has {channels} channels of {8 * width} bits at {rate_hz} Hz: "
            "one channel of 16 bits at one rate of 8,000 to 48,000 Hz is understood"
        )
    return rate_hz


def _words(text: str) -> str:
    return clean_text(text, one_line=True, limit=MAX_TRANSCRIPT_CHARS)
