"""One device's streams of audio become utterances. It answers none, and keeps no audio."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, assert_never

from microclaw.errors import MicroclawError, VoiceError
from microclaw.voice.device import VoiceDevice
from microclaw.voice.endpointing import Endpointer, EndpointLimits
from microclaw.voice.engines.engine import FRAME_BYTES, Recognition, Recognizer, Transcript, VoiceDetector
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


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a stream gave. Without a transcript nothing was said, or `failure` says why nobody could hear it."""

    trace: VoiceTrace
    transcript: Transcript | None = None
    failure: VoiceError | None = None


@dataclass(frozen=True, slots=True)
class _StreamEnd:
    """The device closed its stream; what it said is to be forgotten if it was `cancelled`."""

    cancelled: bool


_Item: TypeAlias = VoiceTrace | bytes | _StreamEnd | None


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

        def partial(text: str) -> None:
            trace.mark("first partial")
            self._device.partial(trace.stream, text)

        recognition: Recognition | None = None
        try:
            async with asyncio.timeout(ENGINE_S):
                recognition = await self._recognizer.begin(partial)
            if not await self._feed(recognition, trace):
                return Utterance(trace)
            if trace is self._newest:
                self._device.show("thinking")
            async with asyncio.timeout(ENGINE_S):
                transcript = await recognition.finish()
            trace.mark("final")
            return Utterance(trace, transcript)
        except TimeoutError:
            return Utterance(trace, failure=VoiceError(f"{name} did not answer within {ENGINE_S:g} s"))
        except VoiceError as exc:
            return Utterance(trace, failure=exc)
        except Exception as exc:  # the next stream is another one
            _log.error("voice of %s: hearing failed: %s", self._device.name, crash_text(exc))
            return Utterance(trace, failure=VoiceError(f"{name} failed inside the host"))
        finally:
            if recognition is not None:
                recognition.abandon()

    async def _feed(self, recognition: Recognition, trace: VoiceTrace) -> bool:
        """Give the utterance to the engine as it comes; whether there was speech in it."""
        longest_ms = self._limits.longest_ms
        is_held = trace.trigger == HELD
        limits = replace(self._limits, silence_ms=longest_ms, nothing_ms=longest_ms) if is_held else self._limits
        endpointer, detector = Endpointer(limits), self._new_detector()
        left = b""
        while True:
            try:
                async with asyncio.timeout(SILENT_S):
                    item = await self._get()
            except TimeoutError:
                return endpointer.has_begun
            match item:
                case None:
                    self._has_left = True
                    return False
                case VoiceTrace():
                    self._next = item
                    return False
                case _StreamEnd(cancelled=True):
                    return False
                case _StreamEnd():
                    trace.mark("end heard")
                    trace.mark("speech end")
                    return endpointer.has_begun
                case bytes():
                    pass
                case _:
                    assert_never(item)
            recognition.feed(item)
            left += item
            while len(left) >= FRAME_BYTES:
                frame, left = left[:FRAME_BYTES], left[FRAME_BYTES:]
                if endpointer.frame(detector.is_speech(frame)) not in (None, "began"):
                    trace.mark("end heard")
                    if endpointer.has_begun:
                        trace.mark("speech end", trace.marks["first audio"] + endpointer.speech_end_ms / 1000)
                    return endpointer.has_begun


def crash_text(exc: BaseException) -> str:
    """What went wrong and where, without the error's own words: they may have what was said."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    where = "".join(traceback.format_tb(exc.__traceback__)).rstrip()
    return f"{type(exc).__name__}\n{where}"


def failure_text(failure: MicroclawError) -> str:
    """What the log says: never what was heard."""
    return f"{failure.message} (next: {failure.next_step})" if failure.next_step else failure.message
