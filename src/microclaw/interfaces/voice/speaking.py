"""Speaks one answer: sentences in, paced frames out. A sentence is synthesized while the one before is played.

A device gets only as much audio ahead as it can hold, so that it never plays cancelled audio.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from microclaw.errors import VoiceError
from microclaw.interfaces.voice.device import VoiceDevice
from microclaw.interfaces.voice.engines.engine import Speech, Synthesizer
from microclaw.interfaces.voice.resampling import Resampler
from microclaw.interfaces.voice.spoken_text import MAX_SPOKEN_CHARS, MORE
from microclaw.interfaces.voice.trace import VoiceTrace

MAX_WAITING_SENTENCES: Final = 64
MAX_PIECES: Final = 8
BURST_MS: Final = 60
"""Frames are sent in bursts of this length, so that a device costs 17 wake-ups a second and not 50."""
_log = logging.getLogger(__name__)


class Pace:
    """Computes when the next frame is sent, so that the device holds up to `ahead_ms` of audio with this frame.

    A device whose `ahead_ms` is shorter than a frame gets each frame when the one before is played. `late` counts
    frames that were sent too late.
    """

    def __init__(self, frame_ms: int, ahead_ms: int, now_s: Callable[[], float]) -> None:
        self._frame_s = frame_ms / 1000
        # The audio that the device may hold before the next frame is sent.
        self._room_s = max(0, ahead_ms - frame_ms) / 1000
        self._burst_s = min(BURST_MS / 1000, self._room_s / 2)
        self._now_s = now_s
        # The time when the next frame begins to play.
        self._due_s: float | None = None
        self.late = 0

    def next_wait_s(self) -> float:
        """Return the seconds to wait before the next frame is sent. Call `sent` after it is sent."""
        if self._due_s is None:
            return 0.0
        lead_s = self._due_s - self._now_s()
        if lead_s <= self._room_s:
            return 0.0
        return lead_s - self._room_s + self._burst_s

    def sent(self) -> None:
        """Note that a frame was sent now."""
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
        """The seconds until all sent frames are played."""
        if self._due_s is None:
            return 0.0
        return max(0.0, self._due_s - self._now_s())


class AnswerSpeaker:
    """An answer in speech: call `say` for each sentence, then `finish`; `run` speaks them."""

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
        self._sentence_count = 0
        # By sentence, the time when the device begins to play its first audio.
        self._plays_at_s: dict[int, float] = {}
        self._failed_sentences: set[int] = set()
        self._silenced_s: float | None = None
        self._chars = 0
        self._has_begun = False
        self._is_finished = False
        self._is_full = False

    @property
    def is_over(self) -> bool:
        """True if it accepts no more sentences."""
        return self._is_finished or self.is_silenced

    def say(self, sentence: str) -> int | None:
        """Add a sentence and return its number; None if the answer is too long: then the chat has the rest."""
        if self.is_over or self._is_full:
            return None
        self._chars += len(sentence)
        self._is_full = self._chars > MAX_SPOKEN_CHARS or self._sentences.qsize() >= MAX_WAITING_SENTENCES
        number = self._sentence_count
        self._sentence_count += 1
        if self._is_full:
            self._sentences.put_nowait(MORE)
            return None
        self._sentences.put_nowait(sentence)
        return number

    def has_played(self, number: int) -> bool:
        """Return True if the device began to play that sentence before the answer was silenced.

        A sentence shorter than a frame is sent with the sentence after it.
        """
        if number in self._failed_sentences:
            return False
        end_s = self._now_s() if self._silenced_s is None else self._silenced_s
        return any(number <= other and begins_s < end_s for other, begins_s in self._plays_at_s.items())

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
        """Speak until everything is played. If an engine fails, `failure` has the reason."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._synthesize(), name="voice: synthesize")
                tasks.create_task(self._play(), name="voice: play")
        finally:
            self._trace.late_frames += self._pace.late

    async def _synthesize(self) -> None:
        """Synthesize the sentences. The next ones may still be spoken if one fails."""
        number = -1
        while (sentence := await self._sentences.get()) is not None:
            number += 1
            try:
                # Only the first piece of a sentence announces its text.
                text = sentence
                async with aclosing(self._synthesizer.speak(sentence)) as pieces:
                    async for piece in pieces:
                        await self._pieces.put((number, text, piece))
                        text = ""
            except VoiceError as exc:
                _log.warning("a sentence was not spoken: %s", exc.message)
                self.failure = exc
                self._failed_sentences.add(number)
        await self._pieces.put(None)

    async def _play(self) -> None:
        """Send the pieces to the device as frames, and wait until they are played."""
        device = self._device
        resampler = Resampler(device.rate_hz)
        frame_bytes = device.rate_hz * device.frame_ms // 1000 * 2
        unsent = b""
        number = 0
        while (item := await self._pieces.get()) is not None:
            # After `silence`, `run` is cancelled a moment later.
            if self.is_silenced:
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
            unsent = await self._send(number, unsent + pcm, frame_bytes)
        unsent += resampler.rest()
        if unsent and not self.is_silenced:
            padding = bytes(-len(unsent) % frame_bytes)
            await self._send(number, unsent + padding, frame_bytes)
        if self._has_begun:
            await asyncio.sleep(self._pace.left_s)
        if self._has_begun and not self.is_silenced:
            device.end_speech(failed=self.failure is not None)

    async def _send(self, number: int, pcm: bytes, frame_bytes: int) -> bytes:
        """Send the whole frames of audio of a sentence; return the rest of the audio."""
        start = 0
        while len(pcm) - start >= frame_bytes:
            wait_s = self._pace.next_wait_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if self.is_silenced:
                return b""
            self._plays_at_s.setdefault(number, self._pace.next_plays_at_s)
            self._device.play(pcm[start : start + frame_bytes])
            self._pace.sent()
            self._trace.mark("first audible")
            start += frame_bytes
        return pcm[start:]
