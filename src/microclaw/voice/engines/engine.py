"""An engine as the pipeline sees it: speech to text, text to speech, speech or not. Holds no engine.

Audio is 16-bit signed little-endian PCM, one channel. What is heard has 16 kHz and comes in frames of 20 ms.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Final, Protocol

from msgspec import Struct

RATE_HZ: Final = 16_000
FRAME_MS: Final = 20
FRAME_BYTES: Final = RATE_HZ * FRAME_MS // 1000 * 2


class Transcript(Struct, frozen=True):
    """The words of an utterance; "" for none. `confidence` is from 0 to 1 and is the engine's own measure."""

    text: str
    confidence: float = 1.0


class Speech(Struct, frozen=True):
    """A piece of spoken text."""

    pcm: bytes
    rate_hz: int


class Recognition(Protocol):
    """One utterance. `finish` or `abandon` ends it; after either nothing of it is told any more."""

    def feed(self, pcm: bytes) -> None:
        """The next audio. Never waits; an engine that is behind by more than it may hold raises VoiceError."""

    def pause(self) -> None:
        """The person is silent, perhaps for good: the engine may begin its last work. A `feed` after it says no."""

    async def finish(self) -> Transcript:
        """The utterance has ended. Raises VoiceError when the engine fails."""

    def abandon(self) -> None: ...


class Recognizer(Protocol):
    """Speech to text."""

    @property
    def name(self) -> str: ...

    async def begin(self, on_partial: Callable[[str], None]) -> Recognition:
        """A new utterance. `on_partial` gets all that was understood so far each time that it changes.

        Raises VoiceError when the engine cannot be reached or everything it has is in use.
        """

    async def warm_up(self) -> None:
        """Be ready before the first utterance. Raises VoiceError."""

    async def health(self) -> str | None:
        """Why it cannot work, with what to do; None: it can."""

    async def close(self) -> None: ...


class Synthesizer(Protocol):
    """Text to speech."""

    @property
    def name(self) -> str: ...

    def speak(self, text: str) -> AsyncGenerator[Speech]:
        """The text spoken, in pieces as they are ready, all of one rate. Raises VoiceError.

        Closing the generator stops the engine's work on it.
        """

    async def health(self) -> str | None:
        """Why it cannot work, with what to do; None: it can."""

    async def close(self) -> None: ...


class VoiceDetector(Protocol):
    """Tells speech from noise. One a stream: it adapts."""

    def is_speech(self, frame: bytes) -> bool:
        """`frame` has FRAME_BYTES."""
