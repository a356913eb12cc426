"""One device's streams of audio become utterances. It answers none, and keeps no audio."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import VoiceError
from microclaw.voice.device import VoiceDevice
from microclaw.voice.engines.engine import FRAME_BYTES, FRAME_MS, RATE_HZ, Recognizer, Transcript, VoiceDetector
from microclaw.voice.parts import EndpointLimits, VoiceParts, crash_text
from microclaw.voice.trace import VoiceTrace

MAX_WAITING_BYTES: Final = 20 * RATE_HZ * 2
"""Of one stream, while an engine is starting: more than an utterance may have."""
MAX_STREAMS: Final = 4
"""Streams that wait, of a device that presses its button faster than it is heard; the oldest is forgotten."""
SILENT_S: Final = 5.0
"""A device that opened a stream and sends nothing for so long is asked to stop."""
ENGINE_S: Final = 30.0
PAUSE_MS: Final = 200
"""After so much silence the engine begins: it may be the end."""
MAX_PAUSES: Final = 2
"""In one utterance: each that was not the end is heard from its beginning again."""
MAX_PAUSED_BYTES: Final = 8 * RATE_HZ * 2
"""If a pause is not the end everything before it is heard again, in a third of its time."""
MAX_HELD_BYTES: Final = 3 * RATE_HZ * 2
MAX_BEFORE_BYTES: Final = RATE_HZ * 2
"""An engine also hears the second before somebody speaks."""
Moment: TypeAlias = Literal["began", "ended", "nothing", "too long"]
WINDOW_FRAMES: Final = 8
VOICED_TO_BEGIN: Final = 4
"""So many of the last WINDOW_FRAMES frames are speech when an utterance begins: one click is none."""
VOICED_TO_GO_ON: Final = 2
"""A single voiced frame in a pause does not make it longer."""
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
        trace = stream.trace
        recognizer = self._parts.recognizer

        def partial(text: str) -> None:
            trace.mark("first partial")
            self._device.partial(trace.stream, text)

        recognition = Recognition(recognizer, partial)
        try:
            if not await self._hear_out(stream, recognition):
                return Utterance(trace)
            if stream is self._newest:
                self._device.show("thinking")
            async with asyncio.timeout(ENGINE_S):
                transcript = await recognition.finish()
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
            recognition.abandon()
            stream.close("cut")
            stream.audio.clear()

    async def _hear_out(self, stream: _Stream, recognition: Recognition) -> bool:
        """Give the utterance to the engine as it comes; whether there was speech in it."""
        trace = stream.trace
        limits = self._parts.endpoints
        if trace.trigger == HELD:
            limits = replace(limits, silence_ms=limits.longest_ms, nothing_ms=limits.longest_ms)
        endpointer = Endpointer(limits)
        detector = self._parts.new_detector()
        while (frame := await stream.next_frame()) is not None:
            moment = endpointer.frame(detector.is_speech(frame))
            if moment not in (None, "began"):
                trace.mark("end heard")
                if endpointer.has_begun:
                    trace.mark("speech end", trace.marks["first audio"] + endpointer.speech_end_ms / 1000)
                return endpointer.has_begun
            recognition.feed(frame, endpointer)
        if stream.end == "closed":
            trace.mark("end heard")
            trace.mark("speech end")
        return endpointer.has_begun and stream.end != "cut"


class Endpointer:
    """One utterance. `frame` answers what the frame changed: began, ended, nothing (was said), too long."""

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits
        self._recent: deque[bool] = deque(maxlen=WINDOW_FRAMES)
        self._heard_ms = 0
        self.quiet_ms = 0
        """The silence since the last speech."""
        self.has_begun = False
        self.speech_end_ms = 0
        """When the last speech was, in ms since the stream began."""

    def frame(self, is_speech: bool) -> Moment | None:
        self._heard_ms += FRAME_MS
        self._recent.append(is_speech)
        voiced = sum(self._recent)
        if not self.has_begun:
            if voiced >= VOICED_TO_BEGIN:
                self.has_begun = True
                self.speech_end_ms = self._heard_ms
                return "began"
            return "nothing" if self._heard_ms >= self._limits.nothing_ms else None
        if is_speech and voiced >= VOICED_TO_GO_ON:
            self.quiet_ms = 0
            self.speech_end_ms = self._heard_ms
        else:
            self.quiet_ms += FRAME_MS
            if self.quiet_ms >= self._limits.silence_ms:
                return "ended"
        return "too long" if self._heard_ms >= self._limits.longest_ms else None


def has_speech(pcm: bytes, detector: VoiceDetector) -> bool:
    """True if an utterance begins in the audio; what is no whole frame at its end does not count."""
    endpointer = Endpointer(EndpointLimits(nothing_ms=len(pcm)))
    starts = range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)
    return any(endpointer.frame(detector.is_speech(pcm[at : at + FRAME_BYTES])) == "began" for at in starts)


class Recognition:
    """An engine's work on one utterance. `finish` or `abandon` ends it; after either nothing of it is told any more.

    At a pause, which may be the end, the engine hears all that came so far; if somebody goes on, it hears the whole
    again, with the silence between.
    """

    def __init__(self, recognizer: Recognizer, on_partial: Callable[[str], None]) -> None:
        self._recognizer = recognizer
        self._on_partial = on_partial
        self._pcm = bytearray()
        self._pauses = 0
        self._paused_bytes: int | None = None  # of the audio before the silence that lasts
        self._hearing: list[tuple[int, asyncio.Task[Transcript]]] = []
        """How many bytes each of them hears; one after another."""

    def feed(self, frame: bytes, endpointer: Endpointer) -> None:
        """The next frame, which the endpointer has heard. Never waits."""
        self._pcm += frame
        if not endpointer.has_begun:
            del self._pcm[:-MAX_BEFORE_BYTES]
            return
        is_silent = endpointer.quiet_ms >= PAUSE_MS
        paused_bytes = self._paused_bytes
        if paused_bytes is not None:
            if not is_silent or len(self._pcm) - paused_bytes > MAX_HELD_BYTES:
                self._paused_bytes = None
        elif is_silent and self._pauses < MAX_PAUSES:
            self._paused_bytes = len(self._pcm)
            self._pauses = self._pauses + 1
            if self._recognizer.hears_at_pauses() and len(self._pcm) <= MAX_PAUSED_BYTES:
                self._hear(len(self._pcm))

    async def finish(self) -> Transcript:
        """The utterance has ended. Raises VoiceError when the engine fails."""
        if self._paused_bytes is None:
            size = len(self._pcm)
        else:
            size = self._paused_bytes
        if not self._hearing or self._hearing[-1][0] != size:
            self._on_partial = lambda _text: None
            self._hear(size)
        try:
            return await self._hearing[-1][1]
        finally:
            self.abandon()

    def abandon(self) -> None:
        for _, task in self._hearing:
            task.cancel()

    def _hear(self, size: int) -> None:
        before = [task for _, task in self._hearing]
        task = asyncio.create_task(self._heard(bytes(self._pcm[:size]), before), name=f"voice: {self._recognizer.name}")
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # told by `finish`
        self._hearing.append((size, task))

    async def _heard(self, pcm: bytes, before: list[asyncio.Task[Transcript]]) -> Transcript:
        if before:
            await asyncio.wait(before)
        found = await self._recognizer.hear(pcm)
        if found.text:
            self._on_partial(found.text)
        return found
