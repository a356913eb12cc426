"""Gives an engine the audio of an utterance: begun when somebody speaks, told of pauses. It holds little audio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from microclaw.voice.endpointing import Endpointer
from microclaw.voice.engines.engine import RATE_HZ, Recognition

PAUSE_MS: Final = 200
"""After so much silence the engine is told that it may be the end; only then does it hear what follows."""
MAX_PAUSES: Final = 2
"""In one utterance: each that was not the end is heard from its beginning again."""
MAX_HELD_BYTES: Final = 3 * RATE_HZ * 2
MAX_BEFORE_BYTES: Final = RATE_HZ * 2
"""What an engine hears of the second before somebody speaks."""


class LateEar:
    """An engine that begins when somebody speaks, with the second before: who is silent takes none from the others."""

    def __init__(self, begin: Callable[[], Awaitable[Recognition]]) -> None:
        self._begin = begin
        self._recognition: Recognition | None = None
        self._before = bytearray()

    async def begun(self) -> Recognition:
        """Raises VoiceError."""
        if self._recognition is None:
            self._recognition = await self._begin()
            self._recognition.feed(bytes(self._before))
            self._before.clear()
        return self._recognition

    def feed(self, pcm: bytes) -> None:
        if self._recognition is not None:
            self._recognition.feed(pcm)
        else:
            self._before += pcm
            del self._before[:-MAX_BEFORE_BYTES]

    def pause(self) -> None:
        if self._recognition is not None:
            self._recognition.pause()

    def abandon(self) -> None:
        if self._recognition is not None:
            self._recognition.abandon()


class Ear(Protocol):
    """The receiver of a PauseGate: a Recognition, as far as it needs one."""

    def feed(self, pcm: bytes) -> None: ...

    def pause(self) -> None: ...


class PauseGate:
    """Tells the engine of pauses, and holds the silence of each back until it was not the end."""

    def __init__(self, recognition: Ear) -> None:
        self._recognition = recognition
        self._held = bytearray()
        self._pauses = 0
        self._is_paused = False

    def feed(self, pcm: bytes) -> None:
        if self._is_paused:
            self._held += pcm
        else:
            self._recognition.feed(pcm)

    def follow(self, endpointer: Endpointer) -> None:
        """After each piece, when the endpointer has heard it, too."""
        is_silent = endpointer.has_begun and endpointer.quiet_ms >= PAUSE_MS
        if self._is_paused and (not is_silent or len(self._held) > MAX_HELD_BYTES):
            self._is_paused = False
            self._recognition.feed(bytes(self._held))
            self._held.clear()
        elif is_silent and not self._is_paused and self._pauses < MAX_PAUSES:
            self._is_paused, self._pauses = True, self._pauses + 1
            self._recognition.pause()
