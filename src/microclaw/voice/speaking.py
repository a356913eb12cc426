"""One answer spoken: sentences in, paced frames out. The next sentence is made while one is played.

A device gets at most as much audio ahead as it can hold, so that it never plays what was cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from microclaw.errors import VoiceError
from microclaw.voice.device import VoiceDevice
from microclaw.voice.engines.engine import Speech, Synthesizer
from microclaw.voice.resampling import Resampler
from microclaw.voice.spoken_text import MAX_SPOKEN_CHARS, MORE
from microclaw.voice.trace import VoiceTrace

MAX_WAITING_SENTENCES: Final = 64
MAX_PIECES: Final = 8
BURST_MS: Final = 60
"""Frames are sent some at a time, so that a device costs 17 wake-ups a second and not 50."""
_log = logging.getLogger(__name__)


class Pace:
    """The time of the next frame, so that no more than `ahead_ms` waits to be played, this frame included.

    A device whose `ahead_ms` is less than a frame gets each frame when the one before is played. `late` counts frames
    that came too late.
    """

    def __init__(self, frame_ms: int, ahead_ms: int, now_s: Callable[[], float]) -> None:
        self._frame_s = frame_ms / 1000
        self._room_s = max(0, ahead_ms - frame_ms) / 1000  # for what was sent before
        self._burst_s = min(BURST_MS / 1000, self._room_s / 2)
        self._now_s = now_s
        self._due_s: float | None = None  # when the next frame begins to play
        self.late = 0

    def next_wait_s(self) -> float:
        """The seconds to wait before the next frame is sent; then call `sent`."""
        if self._due_s is None:
            return 0.0
        lead_s = self._due_s - self._now_s()
        if lead_s <= self._room_s:
            return 0.0
        return lead_s - self._room_s + self._burst_s

    def sent(self) -> None:
        now_s = self._now_s()
        if self._due_s is None:
            self._due_s = now_s
        elif now_s > self._due_s:
            self.late += 1
            self._due_s = now_s
        self._due_s += self._frame_s

    @property
    def next_plays_at_s(self) -> float:
        """The time when the device begins to play the next frame, if it is sent now."""
        if self._due_s is None:
            return self._now_s()
        return max(self._due_s, self._now_s())

    @property
    def left_s(self) -> float:
        """The seconds until everything sent is played."""
        if self._due_s is None:
            return 0.0
        return max(0.0, self._due_s - self._now_s())


class SpokenAnswer:
    """`say` sentences, then `finish`; `run` speaks them."""

    def __init__(
        self, device: VoiceDevice, synthesizer: Synthesizer, trace: VoiceTrace, now_s: Callable[[], float]
    ) -> None:
        self.is_silenced = False
        self.failure: VoiceError | None = None
        self._device = device
        self._synthesizer = synthesizer
        self._trace = trace
        self._pace = Pace(device.frame_ms, device.ahead_ms, now_s)
        self._now_s = now_s
        self._sentences: asyncio.Queue[str | None] = asyncio.Queue(MAX_WAITING_SENTENCES + 2)
        self._pieces: asyncio.Queue[tuple[int, str, Speech] | None] = asyncio.Queue(MAX_PIECES)
        self._taken = 0  # sentences
        self._plays_at_s: dict[int, float] = {}  # the first audio of each sentence that was sent
        self._failed: set[int] = set()  # sentences
        self._silenced_s: float | None = None
        self._chars = 0
        self._has_begun = self._is_finished = self._is_full = False

    @property
    def is_over(self) -> bool:
        """It takes no more sentences."""
        return self._is_finished or self.is_silenced

    def say(self, sentence: str) -> int | None:
        """One sentence more: its number; None for what would be too long for the ear, which is left to the chat."""
        if self.is_over or self._is_full:
            return None
        self._chars += len(sentence)
        self._is_full = self._chars > MAX_SPOKEN_CHARS or self._sentences.qsize() >= MAX_WAITING_SENTENCES
        self._sentences.put_nowait(MORE if self._is_full else sentence)
        self._taken += 1
        if self._is_full:
            return None
        return self._taken - 1

    def has_played(self, number: int) -> bool:
        """True if the device has begun to play that sentence, before it was silenced.

        What is shorter than a frame is sent with the sentence after it.
        """
        if self._silenced_s is None:
            until_s = self._now_s()
        else:
            until_s = self._silenced_s
        return number not in self._failed and any(
            number <= other and begins_s < until_s for other, begins_s in self._plays_at_s.items()
        )

    def finish(self) -> None:
        if not self._is_finished:
            self._is_finished = True
            self._sentences.put_nowait(None)

    def silence(self) -> None:
        """No frame is sent after this returns. Cancel `run` as well."""
        if not self.is_silenced:
            self.is_silenced = True
            self._silenced_s = self._now_s()
            if self._has_begun:
                self._device.cancel_speech()

    async def run(self) -> None:
        """Until everything is played. An engine that fails ends it, `failure` says why."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._synthesize(), name="voice: synthesize")
                tasks.create_task(self._play(), name="voice: play")
        finally:
            self._trace.late_frames += self._pace.late

    async def _synthesize(self) -> None:
        number = -1
        while (sentence := await self._sentences.get()) is not None:
            number += 1
            try:
                text = sentence  # that its first piece begins
                async with aclosing(self._synthesizer.speak(sentence)) as pieces:
                    async for piece in pieces:
                        await self._pieces.put((number, text, piece))
                        text = ""
            except VoiceError as exc:  # the sentences after it may still be said
                _log.warning("a sentence was not spoken: %s", exc.message)
                self.failure = exc
                self._failed.add(number)
        await self._pieces.put(None)

    async def _play(self) -> None:
        device = self._device
        resampler = Resampler(self._device.rate_hz)
        frame_bytes = device.rate_hz * device.frame_ms // 1000 * 2
        left = b""
        number = 0
        while (item := await self._pieces.get()) is not None:
            if self.is_silenced:  # `run` is cancelled a moment later
                return
            number, text, piece = item
            self._trace.mark("first audio out")
            pcm = resampler.feed(piece.pcm, piece.rate_hz)
            if not pcm and not text:
                continue
            if not self._has_begun:
                self._has_begun = True
                device.begin_speech()
            device.say(text, len(pcm) // 2)
            left += pcm
            left = await self._send(number, left, frame_bytes)
        left += resampler.rest()
        if left and not self.is_silenced:
            await self._send(number, left + bytes(-len(left) % frame_bytes), frame_bytes)
        if self._has_begun:
            await asyncio.sleep(self._pace.left_s)
        if self._has_begun and not self.is_silenced:
            device.end_speech(failed=self.failure is not None)

    async def _send(self, number: int, pcm: bytes, frame_bytes: int) -> bytes:
        """Send the whole frames, which are of that sentence; the rest of the audio."""
        at = 0
        while len(pcm) - at >= frame_bytes:
            wait_s = self._pace.next_wait_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if self.is_silenced:
                return b""
            self._plays_at_s.setdefault(number, self._pace.next_plays_at_s)
            self._device.play(pcm[at : at + frame_bytes])
            self._pace.sent()
            self._trace.mark("first audible")
            at += frame_bytes
        return pcm[at:]
