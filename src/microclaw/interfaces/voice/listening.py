"""Turns one device's streams of audio into utterances. It answers none of them, and keeps no audio."""

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
from microclaw.interfaces.voice.device import VoiceDevice
from microclaw.interfaces.voice.engines.engine import (
    FRAME_BYTES,
    FRAME_MS,
    RATE_HZ,
    Recognizer,
    Transcript,
    VoiceDetector,
)
from microclaw.interfaces.voice.session_context import EndpointLimits, VoiceParts, crash_text
from microclaw.interfaces.voice.trace import VoiceTrace

MAX_WAITING_BYTES: Final = 20 * RATE_HZ * 2
"""The audio of one stream that waits while an engine starts. An utterance is shorter."""
MAX_STREAMS: Final = 4
"""Streams that wait if a button is pressed faster than utterances are recognised; the oldest is discarded."""
SILENT_S: Final = 5.0
"""A device that sends nothing on its open stream for this time is asked to stop."""
ENGINE_S: Final = 30.0
PAUSE_MS: Final = 200
"""After this silence the engine begins, because it may be the end."""
MAX_PAUSES: Final = 2
"""Pauses in one utterance at which the engine begins. If a pause is not the end, the whole is heard again."""
MAX_PAUSED_BYTES: Final = 8 * RATE_HZ * 2
"""The longest audio that is recognised at a pause. Hearing it again takes a third of its time."""
MAX_HELD_BYTES: Final = 3 * RATE_HZ * 2
MAX_BEFORE_BYTES: Final = RATE_HZ * 2
"""An engine also hears the second before the speech begins."""
Moment: TypeAlias = Literal["began", "ended", "nothing", "too long"]
WINDOW_FRAMES: Final = 8
VOICED_TO_BEGIN: Final = 4
"""An utterance begins when this many of the last WINDOW_FRAMES frames are speech: a click is not enough."""
VOICED_TO_GO_ON: Final = 2
"""A single voiced frame in a pause does not end the pause."""
NOTHING_SAID: Final = Transcript("", 0.0)
HOLD_TRIGGER: Final = "hold"
"""The trigger of a stream that lasts as long as a button is held: silence does not end it."""
_log = logging.getLogger(__name__)


class Utterance(Struct, frozen=True):
    """The result of a stream. Without a transcript nothing was said, or `failure` is the reason."""

    trace: VoiceTrace
    transcript: Transcript | None = None
    failure: VoiceError | None = None
    has_more_speech: bool = False
    """Whether the person spoke again while the utterance was recognised. Those words are in no utterance."""


@dataclass(slots=True, eq=False)
class _Stream:
    """A stream with its waiting audio. `end`: "closed" by the device, or "cut" by its leaving or its next stream."""

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
        """Return the next frame; None at the end, or if the device sends nothing for SILENT_S."""
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


class SpeechListener:
    """The streams of one device. Only `utterances` waits; it ends when the device has left."""

    def __init__(self, device: VoiceDevice, parts: VoiceParts) -> None:
        self._device = device
        self._parts = parts
        self._newest: _Stream | None = None
        # None in it means that the device has left.
        self._waiting: asyncio.Queue[_Stream | None] = asyncio.Queue()

    def opened(self, trace: VoiceTrace) -> None:
        """Open a stream. An open one ends: its words are discarded, unless the end of its utterance was heard."""
        self.closed("cut")
        if self._waiting.qsize() >= MAX_STREAMS:
            oldest = self._waiting.get_nowait()
            if oldest is not None:
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
        """Yield the result of each stream, one after another."""
        while (stream := await self._waiting.get()) is not None:
            yield await self._listen(stream)

    async def _listen(self, stream: _Stream) -> Utterance:
        """Recognise the utterance of a stream; return a failure instead of raising it."""
        trace = stream.trace
        recognizer = self._parts.recognizer

        def on_partial(text: str) -> None:
            trace.mark("first partial")
            self._device.partial(trace.stream, text)

        recognition = Recognition(recognizer, on_partial)
        try:
            if not await self._feed(stream, recognition):
                return Utterance(trace)
            if stream is self._newest:
                self._device.show("thinking")
            async with asyncio.timeout(ENGINE_S):
                transcript = await recognition.finish()
            trace.mark("final")
            goes_on = has_speech(bytes(stream.audio), self._parts.new_detector())
            return Utterance(trace, transcript, has_more_speech=goes_on)
        except TimeoutError:
            return Utterance(trace, failure=VoiceError(f"{recognizer.name} did not answer within {ENGINE_S:g} s"))
        except VoiceError as exc:
            return Utterance(trace, failure=exc)
        except Exception as exc:
            # The next stream may succeed.
            _log.error("voice of %s: hearing failed: %s", self._device.name, crash_text(exc))
            return Utterance(trace, failure=VoiceError(f"{recognizer.name} failed inside the host"))
        finally:
            recognition.abandon()
            stream.close("cut")
            stream.audio.clear()

    async def _feed(self, stream: _Stream, recognition: Recognition) -> bool:
        """Feed a stream to the recognition up to the end of the utterance; return True if there was speech."""
        trace = stream.trace
        limits = self._parts.endpoints
        if trace.trigger == HOLD_TRIGGER:
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
    """Finds the begin and the end of one utterance."""

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits
        self._recent: deque[bool] = deque(maxlen=WINDOW_FRAMES)
        self._heard_ms = 0
        self.quiet_ms = 0
        """The silence since the last speech, in ms."""
        self.has_begun = False
        self.speech_end_ms = 0
        """The time of the last speech, in ms since the stream began."""

    def frame(self, is_speech: bool) -> Moment | None:
        """Add a frame; return the change: the utterance "began" or "ended", has "nothing" or is "too long"; or None."""
        self._heard_ms += FRAME_MS
        self._recent.append(is_speech)
        voiced_count = sum(self._recent)
        if not self.has_begun:
            return self._frame_before(voiced_count)
        if is_speech and voiced_count >= VOICED_TO_GO_ON:
            self.quiet_ms = 0
            self.speech_end_ms = self._heard_ms
        else:
            self.quiet_ms += FRAME_MS
            if self.quiet_ms >= self._limits.silence_ms:
                return "ended"
        return "too long" if self._heard_ms >= self._limits.longest_ms else None

    def _frame_before(self, voiced_count: int) -> Moment | None:
        """Return the change by a frame before the utterance has begun."""
        if voiced_count >= VOICED_TO_BEGIN:
            self.has_begun = True
            self.speech_end_ms = self._heard_ms
            return "began"
        return "nothing" if self._heard_ms >= self._limits.nothing_ms else None


def has_speech(pcm: bytes, detector: VoiceDetector) -> bool:
    """Return True if an utterance begins in the audio. An incomplete frame at its end is ignored."""
    endpointer = Endpointer(EndpointLimits(nothing_ms=len(pcm)))
    for start in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES):
        is_speech = detector.is_speech(pcm[start : start + FRAME_BYTES])
        if endpointer.frame(is_speech) == "began":
            return True
    return False


class Recognition:
    """An engine's work on one utterance. `finish` or `abandon` ends it; then it reports no partial text any more.

    At a pause, which may be the end, the engine hears the audio so far. If the person continues, it hears the whole
    audio again, with the silence between.
    """

    def __init__(self, recognizer: Recognizer, on_partial: Callable[[str], None]) -> None:
        self._recognizer = recognizer
        self._on_partial = on_partial
        self._pcm = bytearray()
        self._pauses = 0
        # The size of the audio before the current pause.
        self._paused_bytes: int | None = None
        self._hearing: list[tuple[int, asyncio.Task[Transcript]]] = []
        """The tasks of the engine, with the number of bytes that each hears. They run one after another."""

    def feed(self, frame: bytes, endpointer: Endpointer) -> None:
        """Add the next frame, which the endpointer has seen. It never waits."""
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
            self._pauses += 1
            if self._recognizer.hears_at_pauses() and len(self._pcm) <= MAX_PAUSED_BYTES:
                self._start_hearing(len(self._pcm))

    async def finish(self) -> Transcript:
        """Return the transcript of the whole utterance. Raises VoiceError if the engine fails."""
        size = len(self._pcm) if self._paused_bytes is None else self._paused_bytes
        if not self._hearing or self._hearing[-1][0] != size:
            self._on_partial = lambda _text: None
            self._start_hearing(size)
        _, task = self._hearing[-1]
        try:
            return await task
        finally:
            self.abandon()

    def abandon(self) -> None:
        for _, task in self._hearing:
            task.cancel()

    def _start_hearing(self, size: int) -> None:
        """Let the engine hear the first `size` bytes, after its earlier tasks."""
        earlier = [task for _, task in self._hearing]
        work = self._hear(bytes(self._pcm[:size]), earlier)
        task = asyncio.create_task(work, name=f"voice: {self._recognizer.name}")
        # `finish` raises the error; asyncio would log it a second time.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._hearing.append((size, task))

    async def _hear(self, pcm: bytes, earlier: list[asyncio.Task[Transcript]]) -> Transcript:
        if earlier:
            await asyncio.wait(earlier)
        transcript = await self._recognizer.hear(pcm)
        if transcript.text:
            self._on_partial(transcript.text)
        return transcript
