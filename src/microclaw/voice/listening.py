"""One device's streams of audio become utterances. It answers none, and keeps no audio."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final, TypeAlias, assert_never

from microclaw.errors import MicroclawError, VoiceError
from microclaw.voice.device import VoiceDevice
from microclaw.voice.endpointing import Endpointer, EndpointLimits, has_speech
from microclaw.voice.engines.engine import (
    FRAME_BYTES,
    FRAME_MS,
    RATE_HZ,
    Recognizer,
    Transcript,
    VoiceDetector,
    Wake,
    WakeDetector,
    WakeWords,
)
from microclaw.voice.feeding import LateEar, PauseGate
from microclaw.voice.trace import VoiceTrace
from microclaw.voice.waking import VAD

MAX_WAITING: Final = 1_500
"""Pieces of audio, thirty seconds of 20 ms, while an engine is starting."""
MAX_STREAMS: Final = 4
"""Streams that wait, of a device that presses its button faster than it is heard; the oldest is forgotten."""
SILENT_S: Final = 5.0
"""A device that opened a stream and sends nothing for so long is asked to stop."""
ENGINE_S: Final = 30.0
NOTHING_SAID: Final = Transcript("", 0.0)
HELD: Final = "hold"
"""The trigger of a stream that lasts as long as a button is held: silence does not end it."""
UNWOKEN_MS: Final = 60_000
"""Speech without a wake word; a device that hears more of it opens another stream."""
TAIL_MS: Final = 600
"""Speech without words that ends so soon behind a wake word is the end of that word, before a pause."""
FLUSHED_MS: Final = 300
"""A wake word is detected so long after its end: in a stream that ends with it, in silence that nobody sent."""
MAX_WAKES: Final = 3
"""In one stream: each makes the utterance begin again behind it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a stream gave. Without a transcript nothing was said, or `failure` says why nobody could hear it."""

    trace: VoiceTrace
    transcript: Transcript | None = None
    failure: VoiceError | None = None
    goes_on: bool = False
    """Somebody spoke again while the end of it was recognised: that is in no utterance."""


@dataclass(frozen=True, slots=True)
class _StreamEnd:
    """The device closed its stream; what it said is to be forgotten if it was `cancelled`."""

    cancelled: bool


_Item: TypeAlias = VoiceTrace | bytes | _StreamEnd | None


class _Ears:
    """What listens to one stream until it is over: a voice detector, and one of wake words where it is needed."""

    def __init__(self, voice: VoiceDetector, limits: EndpointLimits, wake: WakeDetector | None) -> None:
        self.voice = voice
        self.limits = limits
        self.wake = wake
        self.heard_bytes = 0
        self.is_over = False
        """The device sends no more of the stream."""
        self.speech_end_ms = 0
        """Of the last utterance."""
        self._wakes = 0

    def waking(self, pcm: bytes) -> Wake | None:
        """The next audio; a wake word that was heard in it."""
        self.heard_bytes += len(pcm)
        if self.wake is None:
            return None
        found = self.wake.hear(pcm)
        if found is not None:
            self._wakes += 1
            if self._wakes >= MAX_WAKES:
                self.close()
        return found

    def close(self) -> None:
        wake, self.wake = self.wake, None
        if wake is not None:
            wake.close()


class Listener:
    """`opened`, `hear`, `closed` and `left` never wait; `utterances` ends when the device has left.

    Where there are `wake_words`, streams with the trigger VAD are listened to for them, and `on_wake` is told.
    """

    def __init__(
        self,
        device: VoiceDevice,
        recognizer: Recognizer,
        new_detector: Callable[[], VoiceDetector],
        limits: EndpointLimits,
        wake_words: WakeWords | None = None,
        on_wake: Callable[[VoiceTrace], None] = lambda _trace: None,
    ) -> None:
        self.dropped = 0
        """Pieces of audio that came while too many waited."""
        self._device = device
        self._recognizer = recognizer
        self._new_detector = new_detector
        self._limits = limits
        self._wake_words = wake_words
        self._on_wake = on_wake
        self._items: deque[_Item] = deque()
        self._came = asyncio.Event()
        self._streams = 0  # of the items
        self._newest: VoiceTrace | None = None
        self._next: VoiceTrace | None = None  # a stream that was opened while another one was heard
        self._has_left = False

    def opened(self, trace: VoiceTrace) -> None:
        """One that is being heard ends: what was said in it is forgotten."""
        if self._streams >= MAX_STREAMS:
            self._forget_oldest()
        self._streams += 1
        self._newest = trace
        self._put(trace)

    def hear(self, pcm: bytes) -> None:
        if self._newest is not None:
            self._newest.mark("first audio")
        if len(self._items) >= MAX_WAITING:
            self.dropped += 1
        else:
            self._put(pcm)

    def closed(self, *, cancelled: bool) -> None:
        self._put(_StreamEnd(cancelled))

    def left(self) -> None:
        self._put(None)

    async def utterances(self) -> AsyncGenerator[Utterance]:
        while not self._has_left:
            trace, self._next = self._next or await self._opening(), None
            if trace is not None:
                yield await self._hear_out(trace)

    def _put(self, item: _Item) -> None:
        self._items.append(item)
        self._came.set()

    async def _get(self) -> _Item:
        while not self._items:
            self._came.clear()
            await self._came.wait()
        item = self._items.popleft()
        self._streams -= isinstance(item, VoiceTrace)
        return item

    def _forget_oldest(self) -> None:
        """The first stream that waits, and its audio."""
        while not isinstance(item := self._items.popleft(), VoiceTrace):
            pass
        self._device.final(item.stream, NOTHING_SAID)
        self._streams -= 1
        while self._items and not isinstance(self._items[0], VoiceTrace):
            self._items.popleft()

    async def _opening(self) -> VoiceTrace | None:
        """The next stream; audio that belongs to none is dropped."""
        while not isinstance(item := await self._get(), VoiceTrace):
            if item is None:
                self._has_left = True
                return None
        return item

    async def _hear_out(self, trace: VoiceTrace) -> Utterance:
        name = self._recognizer.name if not trace.must_wake else "wake words"
        ears: _Ears | None = None
        try:
            async with asyncio.timeout(ENGINE_S):
                ears = await self._ears(trace)
            wake: Wake | None = None
            if trace.must_wake:
                if (wake := await self._until_woken(ears, trace)) is None:
                    return Utterance(trace)
                name = self._recognizer.name
            heard, is_behind_wake = b"" if wake is None else wake.rest, wake is not None
            while True:
                found = await self._recognized(ears, trace, heard)
                if isinstance(found, Wake):
                    heard, is_behind_wake = found.rest, True
                elif is_behind_wake and _is_tail(ears, found):
                    heard, is_behind_wake = b"", False
                    trace.forget("first partial", "speech end", "end heard", "final")
                    self._on_wake(trace)
                else:
                    return Utterance(trace, found, goes_on=not ears.is_over and self._speech_waits())
        except TimeoutError:
            return Utterance(trace, failure=VoiceError(f"{name} did not answer within {ENGINE_S:g} s"))
        except VoiceError as exc:
            return Utterance(trace, failure=exc)
        except Exception as exc:  # the next stream is another one
            _log.error("voice of %s: hearing failed: %s", self._device.name, crash_text(exc))
            return Utterance(trace, failure=VoiceError(f"{name} failed inside the host"))
        finally:
            if ears is not None:
                ears.close()

    def _speech_waits(self) -> bool:
        """Whether somebody speaks in the audio that came since."""
        since = b"".join(takewhile(lambda item: isinstance(item, bytes), self._items))  # type: ignore[arg-type]
        return has_speech(since, self._new_detector())

    async def _ears(self, trace: VoiceTrace) -> _Ears:
        limits, longest_ms = self._limits, self._limits.longest_ms
        if trace.trigger == HELD:
            limits = replace(limits, silence_ms=longest_ms, nothing_ms=longest_ms)
        wake = None
        if self._wake_words is not None and trace.trigger == VAD:
            try:
                wake = await self._wake_words.begin()
            except VoiceError:
                if trace.must_wake:
                    raise
        return _Ears(self._new_detector(), limits, wake)

    async def _until_woken(self, ears: _Ears, trace: VoiceTrace) -> Wake | None:
        """None: the stream was over before a wake word was said. Nothing else hears it, and none of it is kept."""
        endpointer, left = Endpointer(replace(ears.limits, longest_ms=UNWOKEN_MS)), b""
        while isinstance(item := await self._piece(ears), bytes):
            if (wake := ears.waking(item)) is not None:
                self._woken(trace, ears, wake)
                return wake
            left += item
            while len(left) >= FRAME_BYTES:
                frame, left = left[:FRAME_BYTES], left[FRAME_BYTES:]
                if endpointer.frame(ears.voice.is_speech(frame)) not in (None, "began"):
                    return None
            await asyncio.sleep(0)  # a stream that waited for its turn is heard at once
        if item != _StreamEnd(cancelled=True):
            for _ in range(0, FLUSHED_MS, FRAME_MS):
                if trace.must_wake and (wake := ears.waking(bytes(FRAME_BYTES))) is not None:
                    self._woken(trace, ears, wake)  # and nothing was said behind it
        return None

    def _woken(self, trace: VoiceTrace, ears: _Ears, wake: Wake) -> None:
        """The utterance begins behind the wake word."""
        trace.must_wake = False
        trace.mark("wake")
        began_s = trace.marks["first audio"] - trace.skipped_s
        trace.skipped_s = (ears.heard_bytes - len(wake.rest)) / RATE_HZ / 2
        trace.marks["first audio"] = began_s + trace.skipped_s
        trace.forget("first partial")
        self._on_wake(trace)

    async def _recognized(self, ears: _Ears, trace: VoiceTrace, heard: bytes) -> Transcript | Wake | None:
        """What was said, `heard` at first; None for nothing; or a wake word behind which it begins again."""

        def partial(text: str) -> None:
            trace.mark("first partial")
            self._device.partial(trace.stream, text)

        ear = LateEar(lambda: self._recognizer.begin(partial))
        try:
            found = await self._feed(ear, ears, trace, heard)
            if found is not True:
                return found or None
            if trace is self._newest:
                self._device.show("thinking")
            async with asyncio.timeout(ENGINE_S):
                transcript = await (await ear.begun()).finish()
            trace.mark("final")
            return transcript
        finally:
            ear.abandon()

    async def _feed(self, ear: LateEar, ears: _Ears, trace: VoiceTrace, item: bytes) -> bool | Wake:
        """Give the utterance to the engine as it comes; whether there was speech in it, or another wake word."""
        endpointer, gate = Endpointer(ears.limits), PauseGate(ear)
        left = b""
        while True:
            if item:
                gate.feed(item)
            left += item
            while len(left) >= FRAME_BYTES:
                frame, left = left[:FRAME_BYTES], left[FRAME_BYTES:]
                if endpointer.frame(ears.voice.is_speech(frame)) not in (None, "began"):
                    ears.speech_end_ms = endpointer.speech_end_ms
                    trace.mark("end heard")
                    if endpointer.has_begun:
                        trace.mark("speech end", trace.marks["first audio"] + endpointer.speech_end_ms / 1000)
                    return endpointer.has_begun
            if endpointer.has_begun:
                async with asyncio.timeout(ENGINE_S):
                    await ear.begun()
            gate.follow(endpointer)
            match await self._piece(ears):
                case bytes() as item:
                    pass
                case _StreamEnd(cancelled=True):
                    return False
                case _StreamEnd():
                    trace.mark("end heard")
                    trace.mark("speech end")
                    return endpointer.has_begun
                case None:
                    return endpointer.has_begun
            if (wake := ears.waking(item)) is not None:
                self._woken(trace, ears, wake)
                return wake

    async def _piece(self, ears: _Ears) -> bytes | _StreamEnd | None:
        """The next audio of this stream, or its end; None if the device sends no more."""
        try:
            async with asyncio.timeout(SILENT_S):
                item = await self._get()
        except TimeoutError:
            ears.is_over = True
            return None
        if isinstance(item, bytes):
            return item
        ears.is_over = True
        match item:
            case None:
                self._has_left = True
                return _StreamEnd(cancelled=True)
            case VoiceTrace():
                self._next = item
                return _StreamEnd(cancelled=True)
            case _StreamEnd():
                return item
            case _:
                assert_never(item)


def _is_tail(ears: _Ears, found: Transcript | None) -> bool:
    """Whether this was the end of a wake word and no utterance, and more of the stream comes."""
    return found is not None and not found.text.strip() and ears.speech_end_ms <= TAIL_MS and not ears.is_over


def crash_text(exc: BaseException) -> str:
    """What went wrong and where, without the error's own words: they may have what was said."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    where = "".join(traceback.format_tb(exc.__traceback__)).rstrip()
    return f"{type(exc).__name__}\n{where}"


def failure_text(failure: MicroclawError) -> str:
    """What the log says: never what was heard."""
    return f"{failure.message} (next: {failure.next_step})" if failure.next_step else failure.message
