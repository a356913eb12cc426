"""The base classes of engines: speech to text, text to speech, speech detection. Holds no engine.

Audio is 16-bit signed little-endian PCM, one channel. Audio from a microphone has 16 kHz and frames of 20 ms.
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
"""The rates of speech that can be played."""
MAX_UTTERANCE_BYTES: Final = 60 * RATE_HZ * 2
MAX_SENTENCE_S: Final = 30
"""The longest audio of one sentence."""
MAX_TEXT_CHARS: Final = 2_000


class Transcript(Struct, frozen=True):
    """The words of an utterance; "" for none. `confidence` is from 0 to 1 and is the engine's own measure.

    `unclear` are words, in small letters, that may be wrong although the whole is likely. An engine without a measure
    has confidence 1.
    """

    text: str
    confidence: float = 1.0
    unclear: frozenset[str] = frozenset()


class Speech(Struct, frozen=True):
    """A piece of spoken text."""

    pcm: bytes
    rate_hz: int


class Engine(ABC):
    """A library, a program or a service. Its constructor starts nothing."""

    name: str

    # Most engines are ready at once.
    async def warm_up(self) -> None:  # noqa: B027
        """Prepare for the first use. Raises VoiceError."""

    @abstractmethod
    async def check(self) -> None:
        """Raise VoiceError, with its remedy, unless the engine can work."""

    async def health(self) -> str | None:
        """Return the problem that `check` finds in words, or None."""
        try:
            await self.check()
        except VoiceError as exc:
            return failure_text(exc)
        return None

    # Most engines have started nothing that lasts.
    async def close(self) -> None:  # noqa: B027
        """End everything that the engine started."""


class Synthesizer(Engine):
    """Text to speech."""

    first_piece_s: ClassVar[float] = 5.0
    """How long its first piece may take, in seconds."""

    @abstractmethod
    def speak(self, text: str) -> AsyncGenerator[Speech]:
        """Speak a text: yield pieces as they are ready, all of one rate. Raises VoiceError.

        Closing the generator stops the engine's work on it.
        """


class Recognizer(Engine):
    """Speech to text."""

    def hears_at_pauses(self) -> bool:
        """Return True if an utterance is heard at each pause, which may be its end. A paid service returns False."""
        return True

    @abstractmethod
    async def hear(self, pcm: bytes) -> Transcript:
        """Return the words of an utterance. Raises VoiceError."""


class VoiceDetector(Protocol):
    """Distinguishes speech from noise. Each stream has its own detector, which adapts to it."""

    def is_speech(self, frame: bytes) -> bool:
        """Return True if the frame is speech. `frame` has FRAME_BYTES bytes."""


def failure_text(failure: MicroclawError) -> str:
    """Return the failure as text for the log, without any words of a person."""
    if failure.next_step:
        return f"{failure.message} (next: {failure.next_step})"
    return failure.message


def speakable(text: str) -> str:
    """Return the text on one line, as engines read it; "" if it has no letter or digit."""
    line = " ".join(clean_text(text, one_line=True, limit=MAX_TEXT_CHARS).split())
    if any(sign.isalnum() for sign in line):
        return line
    return ""
