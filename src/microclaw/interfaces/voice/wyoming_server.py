"""The agent as a Wyoming service for Home Assistant, with speech if there are engines. Reads no settings.

Wyoming has neither authentication nor encryption: every client that reaches the port speaks as the configured person.
So it listens on loopback, unless a person sets another address.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, TypedDict

from msgspec.structs import replace
from wyoming.asr import Transcript as WyomingTranscript
from wyoming.audio import AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.handle import Handled, NotHandled
from wyoming.info import AsrModel, AsrProgram, Attribution, HandleModel, HandleProgram, Info, TtsProgram, TtsVoice
from wyoming.ping import Pong

from microclaw import __version__
from microclaw.addresses import bracketed, is_loopback
from microclaw.errors import ConfigError, MicroclawError, ProtocolError, VoiceError
from microclaw.interfaces.voice.confirmation import RecentTranscripts
from microclaw.interfaces.voice.engines.engine import MAX_UTTERANCE_BYTES, RATE_HZ, Transcript
from microclaw.interfaces.voice.engines.wyoming_stream import (
    CHANNELS,
    READ_BYTES,
    SAMPLE_BYTES,
    WyomingStream,
    rate_of,
    text_of,
)
from microclaw.interfaces.voice.resampling import Resampler
from microclaw.interfaces.voice.session_context import AgentParts, VoiceParts
from microclaw.interfaces.voice.spoken_text import sentences_of
from microclaw.interfaces.voice.wyoming_turns import WyomingTurns, chat_of
from microclaw.text import clean_text

MAX_CLIENTS: Final = 16
"""Further clients are closed at once."""
MAX_HEARD: Final = 2
"""Utterances of clients that are heard at once; others wait. This leaves engines for the voice devices."""
IDLE_S: Final = 60.0
FINISH_S: Final = 40.0
CLOSE_S: Final = 1.0
MAX_SYNTHESIZE_CHARS: Final = 4_000
MAX_SENTENCE_CHARS: Final = 2_000
_log = logging.getLogger(__name__)


class WyomingServer:
    """The server for all clients. `port` is the port on which it listens."""

    def __init__(self, parts: AgentParts, port: int, turns: WyomingTurns) -> None:
        self.port = port
        self.parts = parts
        self.turns = turns
        self._clients: set[asyncio.Task[Any] | None] = set()
        self.heard = asyncio.Semaphore(MAX_HEARD)
        self.transcripts = RecentTranscripts()
        """By a client's address and words, because the protocol does not carry their confidence."""

    @classmethod
    @asynccontextmanager
    async def opened(cls, parts: AgentParts, host: str, port: int) -> AsyncIterator[WyomingServer]:
        """Listen and answer clients inside the context. Raises ConfigError if it cannot listen there."""
        if not is_loopback(host):
            _log.warning("Wyoming listens at %s without authentication: all who reach it speak as a person here", host)
        try:
            # `server` needs the listener's port. It exists before start_serving, and so before the first client.
            listener = await asyncio.start_server(
                lambda reader, writer: server._serve(reader, writer), host, port, start_serving=False
            )
        except OSError as exc:
            raise ConfigError(
                f"the Wyoming services cannot listen at {bracketed(host)}:{port}: {exc.strerror or exc}",
                next_step="microclaw config set voice.wyoming_port PORT, and voice.wyoming_host",
            ) from exc
        async with asyncio.TaskGroup() as tasks:
            server = cls(parts, listener.sockets[0].getsockname()[1], WyomingTurns(parts, tasks))
            try:
                await listener.start_serving()
                yield server
            finally:
                listener.close()
                clients = [task for task in server._clients if task is not None]
                for task in clients:
                    task.cancel()
                await asyncio.gather(*clients, return_exceptions=True)
                server.turns.close()
                await listener.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if len(self._clients) >= MAX_CLIENTS:
            _log.warning("a Wyoming client was closed: %d are connected already", MAX_CLIENTS)
            writer.close()
            return
        self._clients.add(task)
        try:
            await _Client(self, reader, writer).run()
        finally:
            self._clients.discard(task)


class _Client:
    """One connection. It is closed after an error is sent, because some clients wait for their answer forever."""

    def __init__(self, server: WyomingServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._stream = WyomingStream(reader, writer)
        self._send = self._stream.send
        self._address = _address_of(writer)
        # The id of its chat, if the client names no conversation.
        self._id = secrets.token_hex(8)
        self._utterance: bytearray | None = None
        self._resampler = Resampler(RATE_HZ)

    def _voice_parts(self) -> VoiceParts:
        """Return the engines. Raises VoiceError if this host has none."""
        if not isinstance(self._server.parts, VoiceParts):
            raise VoiceError("this host has an agent, but no speech", next_step="docs/voice.md")
        return self._server.parts

    async def run(self) -> None:
        try:
            while (event := await self._stream.next_event(IDLE_S)) is not None:
                await self._handle_event(event)
        except OSError as exc:
            _log.info("the Wyoming client at %s left, or was silent for too long: %s", self._address, exc)
        except MicroclawError as exc:
            _log.warning("the Wyoming client at %s: %s", self._address, clean_text(exc.message, one_line=True))
            await self._refuse(exc.message, exc.code)
        except Exception:
            _log.exception("a Wyoming client's connection failed")
            await self._refuse("something went wrong in the host; its log says what", "failed")
        finally:
            self._stream.writer.close()

    async def _refuse(self, text: str, code: str) -> None:
        """Send an error, and read what the client still sends: unread data would cause a reset that loses the error."""
        with contextlib.suppress(OSError, TimeoutError):
            await self._send(Error(text, code))
            self._stream.writer.write_eof()
            async with asyncio.timeout(CLOSE_S):
                while await self._stream.reader.read(READ_BYTES):
                    pass

    async def _handle_event(self, event: Event) -> None:
        match event.type:
            case "describe":
                await self._send(info_of(self._server.parts))
            case "ping":
                await self._send(Pong(text_of(event, "text")[:200]))
            case "audio-start":
                self._voice_parts()
                self._utterance = bytearray()
                self._resampler = Resampler(RATE_HZ)
            case "audio-chunk":
                self._add_audio(event)
            case "audio-stop":
                await self._transcribe()
            case "synthesize":
                await self._speak(text_of(event, "text"))
            case "transcript":
                await self._handle_sentence(event)
            case _:
                # The protocol requires that unknown events are ignored.
                pass

    def _add_audio(self, event: Event) -> None:
        if self._utterance is None:
            raise ProtocolError("audio-chunk without audio-start")
        self._utterance += self._resampler.feed(event.payload or b"", rate_of(event))
        if len(self._utterance) > MAX_UTTERANCE_BYTES:
            raise ProtocolError("an utterance of more than a minute")

    async def _transcribe(self) -> None:
        utterance = self._utterance
        self._utterance = None
        if utterance is None:
            raise ProtocolError("audio-stop without audio-start")
        pcm = bytes(utterance + self._resampler.rest())
        try:
            async with asyncio.timeout(FINISH_S), self._server.heard:
                transcript = await self._voice_parts().recognizer.hear(pcm)
        except TimeoutError as exc:
            raise VoiceError(f"no transcript within {FINISH_S:g} s") from exc
        self._server.transcripts.put(self._key_of(transcript.text), transcript)
        await self._send(WyomingTranscript(transcript.text))

    def _key_of(self, text: str) -> str:
        """Return the client's address and the words of a text: a client may change signs and capitals."""
        return " ".join([self._address, *re.findall(r"\w+", text.lower())])

    async def _speak(self, text: str) -> None:
        if len(text) > MAX_SYNTHESIZE_CHARS:
            raise ProtocolError(f"a text of {len(text):,} characters: at most {MAX_SYNTHESIZE_CHARS:,} are spoken")
        rate_hz = 0
        resampler = Resampler(RATE_HZ)
        for sentence in sentences_of(text):
            async with aclosing(self._voice_parts().synthesizer.speak(sentence)) as pieces:
                async for piece in pieces:
                    # The stream keeps the rate of its first piece, even if another engine speaks the next sentence.
                    if not rate_hz:
                        rate_hz = piece.rate_hz
                        resampler = Resampler(piece.rate_hz)
                        await self._send(AudioStart(rate_hz, SAMPLE_BYTES, CHANNELS))
                    await self._stream.send_audio(rate_hz, resampler.feed(piece.pcm, piece.rate_hz))
        if not rate_hz:
            rate_hz = RATE_HZ
            await self._send(AudioStart(rate_hz, SAMPLE_BYTES, CHANNELS))
        await self._stream.send_audio(rate_hz, resampler.rest())
        await self._send(AudioStop())

    async def _handle_sentence(self, event: Event) -> None:
        """Give a sentence to the agent and send its answer. Raises ProtocolError if it is too long."""
        text = text_of(event, "text").strip()
        if len(text) > MAX_SENTENCE_CHARS:
            raise ProtocolError(f"a sentence of {len(text):,} characters: at most {MAX_SENTENCE_CHARS:,} are accepted")
        context = event.data.get("context")
        conversation = _conversation_id(context)
        # Words that this host did not hear itself have no known doubt.
        transcript = self._server.transcripts.take(self._key_of(text)) or Transcript(text)
        chat_id = chat_of(self._address, conversation, self._id)
        reply = await self._server.turns.handle(replace(transcript, text=text), chat_id)
        if reply.is_handled:
            await self._send(Handled(reply.text, context))
        else:
            await self._send(NotHandled(reply.text, context))


def _address_of(writer: asyncio.StreamWriter) -> str:
    """Return the client's address; "?" if it has left already."""
    peer_name = writer.get_extra_info("peername")
    if not peer_name:
        return "?"
    return str(peer_name[0])


def _conversation_id(context: object) -> str:
    """Return the client's id of the conversation; "" if it has none."""
    if not isinstance(context, dict):
        return ""
    conversation_id = context.get("conversation_id")
    if isinstance(conversation_id, str):
        return conversation_id
    return ""


def info_of(parts: AgentParts) -> Info:
    """Return the answer to `describe`."""
    about: _About = {"attribution": Attribution("microclaw", ""), "installed": True, "version": __version__}
    agent = HandleModel("agent", description="the agent of this host", languages=["en"], **about)
    handle = HandleProgram(
        "microclaw", description="asks and acts on your devices", models=[agent], supports_home_control=True, **about
    )
    if not isinstance(parts, VoiceParts):
        return Info(handle=[handle])
    recognizer = AsrModel(parts.recognizer.name, description="speech to text", languages=["en"], **about)
    voice = TtsVoice(parts.synthesizer.name, description="text to speech", languages=["en"], **about)
    asr = AsrProgram("microclaw", description="speech to text of this host", models=[recognizer], **about)
    tts = TtsProgram("microclaw", description="text to speech of this host", voices=[voice], **about)
    return Info(asr=[asr], tts=[tts], handle=[handle])


class _About(TypedDict):
    """The facts that are the same for each service of this host."""

    attribution: Attribution
    installed: bool
    version: str
