"""One device's streams of audio become utterances. It answers none, and keeps no audio."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, TypeAlias, assert_never

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import VoiceError
from microclaw.voice.device import VoiceDevice
from microclaw.voice.endpointing import Endpointer, EndpointLimits, has_speech
from microclaw.voice.engines.engine import (
    FRAME_BYTES,
    Recognizer,
    Transcript,
    VoiceDetector,
)
from microclaw.voice.feeding import LateEar, PauseGate
from microclaw.voice.parts import crash_text
from microclaw.voice.trace import VoiceTrace

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
_log = logging.getLogger(__name__)


class Utterance(Struct, frozen=True):
    """The result of a stream. Without a transcript nothing was said, or `failure` says why nobody could hear it."""

    trace: VoiceTrace
    transcript: Transcript | None = None
    failure: VoiceError | None = None
    goes_on: bool = False
    """Somebody spoke again while the end of it was recognised: that is in no utterance."""


class _StreamEnd(Struct, frozen=True):
    """The device closed its stream; what it said is to be forgotten if it was `cancelled`."""

    cancelled: bool


_Item: TypeAlias = VoiceTrace | bytes | _StreamEnd | None


@dataclass(slots=True)
class _Ears:
    """The voice detector of one stream. `is_over`: the device sends no more of it."""

    voice: VoiceDetector
    limits: EndpointLimits
    is_over: bool = False


class Listener:
    """`opened`, `hear`, `closed` and `left` never wait; `utterances` ends when the device has left."""

    def __init__(
        self,
        device: VoiceDevice,
        recognizer: Recognizer,
        new_detector: Callable[[], VoiceDetector],
        limits: EndpointLimits,
    ) -> None:
        self.dropped = 0
        """Pieces of audio that came while too many waited."""
        self._device = device
        self._recognizer = recognizer
        self._new_detector = new_detector
        self._limits = limits
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
        name = self._recognizer.name
        try:
            ears = self._ears(trace)
            found = await self._recognized(ears, trace)
            return Utterance(trace, found, goes_on=not ears.is_over and self._speech_waits())
        except TimeoutError:
            return Utterance(trace, failure=VoiceError(f"{name} did not answer within {ENGINE_S:g} s"))
        except VoiceError as exc:
            return Utterance(trace, failure=exc)
        except Exception as exc:  # the next stream is another one
            _log.error("voice of %s: hearing failed: %s", self._device.name, crash_text(exc))
            return Utterance(trace, failure=VoiceError(f"{name} failed inside the host"))

    def _speech_waits(self) -> bool:
        """True if somebody speaks in the audio that came since."""
        since = b"".join(takewhile(lambda item: isinstance(item, bytes), self._items))  # type: ignore[arg-type]
        return has_speech(since, self._new_detector())

    def _ears(self, trace: VoiceTrace) -> _Ears:
        limits, longest_ms = self._limits, self._limits.longest_ms
        if trace.trigger == HELD:
            limits = replace(limits, silence_ms=longest_ms, nothing_ms=longest_ms)
        return _Ears(self._new_detector(), limits)

    async def _recognized(self, ears: _Ears, trace: VoiceTrace) -> Transcript | None:
        """The words; None for nothing."""

        def partial(text: str) -> None:
            trace.mark("first partial")
            self._device.partial(trace.stream, text)

        ear = LateEar(lambda: self._recognizer.begin(partial))
        try:
            if not await self._feed(ear, ears, trace):
                return None
            if trace is self._newest:
                self._device.show("thinking")
            async with asyncio.timeout(ENGINE_S):
                transcript = await (await ear.begun()).finish()
            trace.mark("final")
            return transcript
        finally:
            ear.abandon()

    async def _feed(self, ear: LateEar, ears: _Ears, trace: VoiceTrace) -> bool:
        """Give the utterance to the engine as it comes; whether there was speech in it."""
        endpointer, gate = Endpointer(ears.limits), PauseGate(ear)
        left = item = b""
        while True:
            if item:
                gate.feed(item)
            left += item
            while len(left) >= FRAME_BYTES:
                frame, left = left[:FRAME_BYTES], left[FRAME_BYTES:]
                if endpointer.frame(ears.voice.is_speech(frame)) not in (None, "began"):
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
