"""Text to speech with espeak-ng: https://github.com/espeak-ng/espeak-ng. Many languages."""

from __future__ import annotations

from typing import Final

from microclaw.errors import VoiceError
from microclaw.interfaces.voice.engines.engine import MAX_SENTENCE_S
from microclaw.interfaces.voice.engines.program import SpeechProgram
from microclaw.interfaces.voice.engines.wav import read_wav

DEFAULT_VOICE: Final = "en"
_LIMIT_BYTES: Final = MAX_SENTENCE_S * 22_050 * 2 + 44


class Espeak(SpeechProgram):
    """The program espeak-ng with one voice."""

    name = "espeak"
    install = "make setup-system, or install the system's package espeak-ng"

    def __init__(self, voice: str = DEFAULT_VOICE) -> None:
        super().__init__("espeak-ng")
        self._voice = voice

    def readable_text(self, text: str) -> str:
        # espeak reads the text between double brackets as phonemes.
        return text.replace("[[", " ").replace("]]", " ")

    async def say(self, text: str) -> tuple[bytes, int]:
        words = ("--stdin", "--stdout", "-z", "-b", "1", f"-v{self._voice}")
        return read_wav(await self.run(words, text, limit_bytes=_LIMIT_BYTES))

    async def check_voice(self) -> None:
        try:
            await self.say("a")
        except VoiceError as exc:
            step = f"microclaw config set voice.espeak_voice {DEFAULT_VOICE}"
            raise VoiceError(exc.message, next_step=step) from exc
