"""Scripted engines: a list of transcripts, beeps and a voice detector by loudness."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator

from microclaw.interfaces.voice.engines.engine import FRAME_BYTES, RATE_HZ, Recognizer, Speech, Synthesizer, Transcript

LOUD = b"\x00\x40" * (FRAME_BYTES // 2)
QUIET = bytes(FRAME_BYTES)


class LoudnessDetector:
    def is_speech(self, frame: bytes) -> bool:
        samples: tuple[int, ...] = struct.unpack(f"<{len(frame) // 2}h", frame)
        return sum(abs(sample) for sample in samples) > 1_000 * len(samples)


class ScriptedRecognizer(Recognizer):
    """Gives the transcripts in order; an error is raised, None hangs."""

    name = "scripted ears"

    def __init__(self, *transcripts: Transcript | Exception | None, at_pauses: bool = False) -> None:
        self.transcripts = list(transcripts)
        self.heard: list[bytes] = []
        self._at_pauses = at_pauses

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
    """Speaks `ms_a_char` for each character, in pieces of 100 ms, once `held` is set if it is there."""

    name = "beeps"

    def __init__(self, ms_a_char: int = 2) -> None:
        self.said: list[str] = []
        self.held: asyncio.Event | None = None
        self._ms_a_char = ms_a_char

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        self.said.append(text)
        if self.held is not None:
            await self.held.wait()
        left_ms = max(20, self._ms_a_char * len(text))
        while left_ms > 0:
            await asyncio.sleep(0)
            ms = min(100, left_ms)
            left_ms -= ms
            yield Speech(b"\x01\x10" * (RATE_HZ * ms // 1000), RATE_HZ)

    async def check(self) -> None: ...
