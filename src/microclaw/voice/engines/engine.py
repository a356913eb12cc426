"""The base classes of engines: speech to text, text to speech, speech or not. Holds no engine.

Audio is 16-bit signed little-endian PCM, one channel. What is heard has 16 kHz and comes in frames of 20 ms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import ClassVar, Final, Protocol

from msgspec import Struct

from microclaw.errors import MicroclawError, VoiceError
from microclaw.text import clean_text

RATE_HZ: Final = 16_000
FRAME_MS: Final = 20
FRAME_BYTES: Final = RATE_HZ * FRAME_MS // 1000 * 2
SPOKEN_HZ: Final = range(8_000, 48_001)
"""The rates of speech that are played."""
MAX_UTTERANCE_BYTES: Final = 60 * RATE_HZ * 2
MAX_SENTENCE_S: Final = 30
"""The longest audio of one sentence."""
MAX_TEXT_CHARS: Final = 2_000


class Transcript(Struct, frozen=True):
    """The words of an utterance; "" for none. `confidence` is from 0 to 1 and is the engine's own measure.

    `unclear` are words, in small letters, that may have been others though the whole is likely. An engine without a
    measure is believed.
    """

    text: str
    confidence: float = 1.0
    unclear: frozenset[str] = frozenset()


class Speech(Struct, frozen=True):
    """A piece of spoken text."""

    pcm: bytes
    rate_hz: int


class Engine(ABC):
    """A library, a program or a service; made without starting anything."""

    name: str

    async def warm_up(self) -> None:  # noqa: B027  most are ready
        """Be ready before the first use. Raises VoiceError."""

    @abstractmethod
    async def check(self) -> None:
        """Raise VoiceError, with what to do, unless it can work."""

    async def health(self) -> str | None:
        """The problem that `check` finds, in words."""
        try:
            await self.check()
        except VoiceError as exc:
            return failure_text(exc)
        return None

    async def close(self) -> None:  # noqa: B027  most have started nothing that lasts
        """End what was started."""


class Synthesizer(Engine):
    """Text to speech."""

    first_piece_s: ClassVar[float] = 5.0
    """So long its first piece may take."""

    @abstractmethod
    def speak(self, text: str) -> AsyncGenerator[Speech]:
        """The text spoken, in pieces as they are ready, all of one rate. Raises VoiceError.

        Closing the generator stops the engine's work on it.
        """


class Recognizer(Engine):
    """Speech to text."""

    def hears_at_pauses(self) -> bool:
        """True if it hears an utterance at each pause, too, which may be its end. Not a service that costs money."""
        return True

    @abstractmethod
    async def hear(self, pcm: bytes) -> Transcript:
        """The words of an utterance. Raises VoiceError."""


class VoiceDetector(Protocol):
    """Tells speech from noise. One a stream: it adapts."""

    def is_speech(self, frame: bytes) -> bool:
        """`frame` has FRAME_BYTES."""


def failure_text(failure: MicroclawError) -> str:
    """The text for the log: never what was heard."""
    if failure.next_step:
        return f"{failure.message} (next: {failure.next_step})"
    return failure.message


def speakable(text: str) -> str:
    """The text on one line, as engines read it; "" when there is nothing to say in it."""
    text = " ".join(clean_text(text, one_line=True, limit=MAX_TEXT_CHARS).split())
    return text if any(c.isalnum() for c in text) else ""
