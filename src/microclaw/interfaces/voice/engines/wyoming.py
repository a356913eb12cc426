"""Speech to text and text to speech by servers that speak Wyoming (faster-whisper, vosk, piper, ...), over TCP.

The protocol has neither authentication nor encryption: such a server belongs on this machine or a trusted network.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from wyoming.asr import Transcribe, TranscriptChunk, TranscriptStop
from wyoming.asr import Transcript as WyomingTranscript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.tts import Synthesize, SynthesizeVoice

from microclaw.errors import ProtocolError, VoiceError
from microclaw.host.egress.destinations import Purpose
from microclaw.host.egress.outgoing import connect
from microclaw.interfaces.voice.engines.engine import (
    MAX_SENTENCE_S,
    MAX_TEXT_CHARS,
    RATE_HZ,
    Engine,
    Recognizer,
    Speech,
    Synthesizer,
    Transcript,
    speakable,
)
from microclaw.interfaces.voice.engines.wyoming_stream import CHANNELS, SAMPLE_BYTES, WyomingStream, rate_of, text_of
from microclaw.text import clean_text

CONNECT_S: Final = 3.0
DESCRIBE_S: Final = 3.0
"""For what a server says of itself."""
ANSWER_S: Final = 15.0
"""For an utterance, from the text to its first audio, and between two pieces of it."""
MAX_AUDIO_BYTES: Final = MAX_SENTENCE_S * 48_000 * 2


class _WyomingEngine(Engine):
    """A server at one address; each call opens its own connection."""

    name = "wyoming"
    service: str
    """The key of its models in a server's `info`."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._server = f"the Wyoming server at {host}:{port}"

    async def check(self) -> None:
        step = f"start a Wyoming server there, or: microclaw config set voice.wyoming_{self.service} HOST:PORT"
        try:
            async with self._connected() as stream, asyncio.timeout(DESCRIBE_S):
                await stream.send(Describe())
                event = await self._next_answer(stream)
                while not Info.is_type(event.type):
                    event = await self._next_answer(stream)
        except VoiceError as exc:
            raise VoiceError(exc.message, next_step=step) from exc
        if not event.data.get(self.service):
            raise VoiceError(f"{self._server} has no {self.service}", next_step=step)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[WyomingStream]:
        """Connect and yield the stream. Every failure, also one inside, becomes a VoiceError."""
        writer = None
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await connect(Purpose.CONFIGURED, self._host, self._port)
            yield WyomingStream(reader, writer)
        except TimeoutError as exc:
            raise VoiceError(f"{self._server} did not answer in time") from exc
        except OSError as exc:
            raise VoiceError(f"{self._server} cannot be reached: {exc.strerror or exc}") from exc
        except ProtocolError as exc:
            raise VoiceError(f"{self._server} sent something else: {exc.message}", foreign=True) from exc
        finally:
            if writer is not None:
                # A usual close would wait until the server has read everything.
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _next_answer(self, stream: WyomingStream) -> Event:
        """Return the server's next event. Raises VoiceError if there is none, or if it is an error."""
        event = await stream.next_event(ANSWER_S)
        if event is None:
            raise VoiceError(f"{self._server} closed the connection")
        if Error.is_type(event.type):
            reason = clean_text(text_of(event, "text"), one_line=True, limit=200)
            raise VoiceError(f"{self._server} failed: {reason}", foreign=True)
        return event


class WyomingRecognizer(_WyomingEngine, Recognizer):
    """Speech to text by a Wyoming server."""

    service = "asr"

    async def hear(self, pcm: bytes) -> Transcript:
        async with self._connected() as stream, asyncio.timeout(ANSWER_S):
            await stream.send(Transcribe(language="en"))
            await stream.send(AudioStart(RATE_HZ, SAMPLE_BYTES, CHANNELS, timestamp=0))
            await stream.send_audio(RATE_HZ, pcm)
            await stream.send(AudioStop())
            text = await self._transcript(stream)
        return Transcript(clean_text(text, one_line=True, limit=MAX_TEXT_CHARS))

    async def _transcript(self, stream: WyomingStream) -> str:
        """Return the server's transcript. Some servers send only its pieces."""
        pieces = ""
        event = await self._next_answer(stream)
        while not TranscriptStop.is_type(event.type):
            if WyomingTranscript.is_type(event.type):
                return text_of(event, "text")
            if TranscriptChunk.is_type(event.type):
                pieces += text_of(event, "text")
                pieces = pieces[:MAX_TEXT_CHARS]
            event = await self._next_answer(stream)
        return pieces


class WyomingSynthesizer(_WyomingEngine, Synthesizer):
    """Text to speech by a Wyoming server."""

    service = "tts"

    def __init__(self, host: str, port: int, *, voice: str | None = None) -> None:
        super().__init__(host, port)
        self._voice = voice

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        text = speakable(text)
        if not text:
            return
        voice = None
        if self._voice is not None:
            voice = SynthesizeVoice(self._voice)
        async with self._connected() as stream:
            await stream.send(Synthesize(text, voice))
            left_bytes = MAX_AUDIO_BYTES
            rates = set[int]()
            event = await self._next_answer(stream)
            while not AudioStop.is_type(event.type):
                is_chunk = AudioChunk.is_type(event.type)
                if is_chunk or AudioStart.is_type(event.type):
                    rates.add(rate_of(event))
                payload = event.payload or b""
                left_bytes -= len(payload)
                if left_bytes < 0 or len(payload) % SAMPLE_BYTES or len(rates) > 1:
                    raise VoiceError(f"{self._server} sent too much audio, half a sample, or two rates")
                if is_chunk and payload:
                    yield Speech(payload, min(rates))
                event = await self._next_answer(stream)
            if left_bytes == MAX_AUDIO_BYTES:
                raise VoiceError(f"{self._server} sent no audio for a sentence")
