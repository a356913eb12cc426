"""One device's streams of audio become utterances. It answers none, and keeps no audio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import VoiceError
from microclaw.voice.device import VoiceDevice
from microclaw.voice.endpointing import Endpointer, has_speech
from microclaw.voice.engines.engine import FRAME_BYTES, RATE_HZ, Recognition, Transcript
from microclaw.voice.parts import VoiceParts, crash_text
from microclaw.voice.trace import VoiceTrace

MAX_WAITING_BYTES: Final = 20 * RATE_HZ * 2
"""Of one stream, while an engine is starting: more than an utterance may have."""
MAX_STREAMS: Final = 4
"""Streams that wait, of a device that presses its button faster than it is heard; the oldest is forgotten."""
SILENT_S: Final = 5.0
"""A device that opened a stream and sends nothing for so long is asked to stop."""
ENGINE_S: Final = 30.0
PAUSE_MS: Final = 200
"""After so much silence the engine is told that it may be the end; only then does it hear what follows."""
MAX_PAUSES: Final = 2
"""In one utterance: each that was not the end is heard from its beginning again."""
MAX_HELD_BYTES: Final = 3 * RATE_HZ * 2
MAX_BEFORE_BYTES: Final = RATE_HZ * 2
"""An engine also hears the second before somebody speaks."""
NOTHING_SAID: Final = Transcript("", 0.0)
HELD: Final = "hold"
"""The trigger of a stream that lasts as long as a button is held: silence does not end it."""
_log = logging.getLogger(__name__)


class Utterance(Struct, frozen=True):
    """The result of a stream. Without a transcript nothing was said, or `failure` says why nobody could hear it."""

    trace: VoiceTrace
    transcript: Transcript | None = None
    failure: VoiceError | None = None
    goes_on: bool = False
    """Somebody spoke again while the end of it was recognised: that is in no utterance."""


@dataclass(slots=True, eq=False)
class _Stream:
    """The audio that waits. `end`: the device closed it, or left or opened another one instead ("cut")."""

    trace: VoiceTrace
    audio: bytearray = field(default_factory=bytearray)
    end: Literal["closed", "cut"] | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, pcm: bytes) -> None:
        self.trace.mark("first audio")
        if len(self.audio) < MAX_WAITING_BYTES:
            self.audio += pcm
            self.news.set()

    def close(self, end: Literal["closed", "cut"]) -> None:
        self.end = self.end or end
        self.news.set()

    async def next_frame(self) -> bytes | None:
        """None at the end, and of a device that sends no more."""
        try:
            while len(self.audio) < FRAME_BYTES and self.end is None:
                self.news.clear()
                async with asyncio.timeout(SILENT_S):
                    await self.news.wait()
        except TimeoutError:
            return None
        frame = bytes(self.audio[:FRAME_BYTES])
        del self.audio[:FRAME_BYTES]
        return frame if len(frame) == FRAME_BYTES else None


class Listener:
    """`opened`, `hear`, `closed` and `left` never wait; `utterances` ends when the device has left."""

    def __init__(self, device: VoiceDevice, parts: VoiceParts) -> None:
        self._device = device
        self._parts = parts
        self._newest: _Stream | None = None
        self._waiting: asyncio.Queue[_Stream | None] = asyncio.Queue()  # None: the device has left

    def opened(self, trace: VoiceTrace) -> None:
        """One that is open ends: what was said in it is forgotten, unless its end was heard."""
        self.closed("cut")
        if self._waiting.qsize() >= MAX_STREAMS and (oldest := self._waiting.get_nowait()) is not None:
            self._device.final(oldest.trace.stream, NOTHING_SAID)
        self._newest = _Stream(trace)
        self._waiting.put_nowait(self._newest)

    def hear(self, pcm: bytes) -> None:
        if self._newest is not None and self._newest.end is None:
            self._newest.put(pcm)

    def closed(self, end: Literal["closed", "cut"] = "closed") -> None:
        if self._newest is not None:
            self._newest.close(end)

    def left(self) -> None:
        self.closed("cut")
        self._waiting.put_nowait(None)

    async def utterances(self) -> AsyncGenerator[Utterance]:
        while (stream := await self._waiting.get()) is not None:
            yield await self._utterance(stream)

    async def _utterance(self, stream: _Stream) -> Utterance:
        trace, recognizer = stream.trace, self._parts.recognizer

        def partial(text: str) -> None:
            trace.mark("first partial")
            self._device.partial(trace.stream, text)

        feed = EngineFeed(lambda: recognizer.begin(partial))
        try:
            if not await self._hear_out(stream, feed):
                return Utterance(trace)
            if stream is self._newest:
                self._device.show("thinking")
            async with asyncio.timeout(ENGINE_S):
                transcript = await (await feed.begun()).finish()
            trace.mark("final")
            goes_on = has_speech(bytes(stream.audio), self._parts.new_detector())
            return Utterance(trace, transcript, goes_on=goes_on)
        except TimeoutError:
            return Utterance(trace, failure=VoiceError(f"{recognizer.name} did not answer within {ENGINE_S:g} s"))
        except VoiceError as exc:
            return Utterance(trace, failure=exc)
        except Exception as exc:  # the next stream is another one
            _log.error("voice of %s: hearing failed: %s", self._device.name, crash_text(exc))
            return Utterance(trace, failure=VoiceError(f"{recognizer.name} failed inside the host"))
        finally:
            feed.abandon()
            stream.close("cut")
            stream.audio.clear()

    async def _hear_out(self, stream: _Stream, feed: EngineFeed) -> bool:
        """Give the utterance to the engine as it comes; whether there was speech in it."""
        trace, limits = stream.trace, self._parts.endpoints
        if trace.trigger == HELD:
            limits = replace(limits, silence_ms=limits.longest_ms, nothing_ms=limits.longest_ms)
        endpointer, detector = Endpointer(limits), self._parts.new_detector()
        while (frame := await stream.next_frame()) is not None:
            feed.feed(frame)
            if endpointer.frame(detector.is_speech(frame)) not in (None, "began"):
                trace.mark("end heard")
                if endpointer.has_begun:
                    trace.mark("speech end", trace.marks["first audio"] + endpointer.speech_end_ms / 1000)
                return endpointer.has_begun
            if endpointer.has_begun:
                async with asyncio.timeout(ENGINE_S):
                    await feed.begun()
                feed.follow(endpointer)
        if stream.end == "closed":
            trace.mark("end heard")
            trace.mark("speech end")
        return endpointer.has_begun and stream.end != "cut"


class EngineFeed:
    """Gives an engine the audio of an utterance.

    It begins when somebody speaks: who is silent takes no engine from the others. It is told of pauses; the silence of
    each is held back until it was not the end.
    """

    def __init__(self, begin: Callable[[], Awaitable[Recognition]]) -> None:
        self._begin = begin
        self._recognition: Recognition | None = None
        self._held = bytearray()
        self._pauses = 0
        self._is_paused = False

    async def begun(self) -> Recognition:
        """Raises VoiceError."""
        if self._recognition is None:
            self._recognition = await self._begin()
            self._release(self._recognition)
        return self._recognition

    def feed(self, pcm: bytes) -> None:
        if self._recognition is not None and not self._is_paused:
            self._recognition.feed(pcm)
            return
        self._held += pcm
        if self._recognition is None:
            del self._held[:-MAX_BEFORE_BYTES]

    def follow(self, endpointer: Endpointer) -> None:
        """After each frame, when the endpointer has heard it, too; once it has begun."""
        is_silent = endpointer.quiet_ms >= PAUSE_MS
        if self._recognition is None:
            return
        if self._is_paused and (not is_silent or len(self._held) > MAX_HELD_BYTES):
            self._is_paused = False
            self._release(self._recognition)
        elif is_silent and not self._is_paused and self._pauses < MAX_PAUSES:
            self._is_paused, self._pauses = True, self._pauses + 1
            self._recognition.pause()

    def _release(self, recognition: Recognition) -> None:
        recognition.feed(bytes(self._held))
        self._held.clear()

    def abandon(self) -> None:
        if self._recognition is not None:
            self._recognition.abandon()
