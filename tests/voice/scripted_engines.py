"""Scripted engines: a list of transcripts, beeps and a voice detector by loudness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from microclaw.errors import VoiceError
from microclaw.voice.engines.engine import FRAME_BYTES, Recognizer, Speech, Synthesizer, Transcript

LOUD = b"\x00\x40" * (FRAME_BYTES // 2)
QUIET = bytes(FRAME_BYTES)


class LoudnessDetector:
    def is_speech(self, frame: bytes) -> bool:
        return frame == LOUD


class ScriptedRecognizer(Recognizer):
    """Gives the transcripts in order; an error is raised, None hangs."""

    name = "scripted ears"

    def __init__(self, *transcripts: Transcript | Exception | None, at_pauses: bool = False) -> None:
        self.transcripts = list(transcripts)
        self.heard: list[bytes] = []
        self.warmed = 0
        self._at_pauses = at_pauses

    async def warm_up(self) -> None:
        self.warmed += 1

    def hears_at_pauses(self) -> bool:
        return self._at_pauses

    async def hear(self, pcm: bytes) -> Transcript:
        self.heard.append(pcm)
        found = self.transcripts.pop(0)
        if found is None:
            await asyncio.Event().wait()
        if isinstance(found, Exception):
            raise found
        assert found is not None
        return found

    async def check(self) -> None: ...


class Beeps(Synthesizer):
    """Speaks `ms_a_char` for each character, in pieces of 100 ms. `fails_after` pieces of all sentences it fails.

    `held`: the sentences that it makes once it is set. `crash`: what it raises instead of speaking, once.
    """

    name = "beeps"

    def __init__(self, ms_a_char: int = 2, rate_hz: int = 16_000, fails_after: int | None = None) -> None:
        self.said: list[str] = []
        self.closed = 0
        self.held: asyncio.Event | None = None
        self.crash: Exception | None = None
        self._ms_a_char = ms_a_char
        self._rate_hz = rate_hz
        self._left = fails_after

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        self.said.append(text)
        try:
            if self.held is not None:
                await self.held.wait()
            if (crash := self.crash) is not None:
                self.crash = None
                raise crash
            left_ms = max(20, self._ms_a_char * len(text))
            while left_ms > 0:
                if self._left is not None:
                    self._left -= 1
                    if self._left < 0:
                        raise VoiceError("the beeper broke")
                await asyncio.sleep(0)
                ms = min(100, left_ms)
                left_ms -= ms
                yield Speech(b"\x01\x10" * (self._rate_hz * ms // 1000), self._rate_hz)
        finally:
            self.closed += 1

    async def check(self) -> None: ...
