"""Text to speech with espeak-ng, a process a sentence: https://github.com/espeak-ng/espeak-ng. Many languages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from microclaw.errors import VoiceError
from microclaw.voice.engines.engine import Speech
from microclaw.voice.engines.program import MAX_SENTENCE_S, SpeechProgram, speakable
from microclaw.voice.engines.wav import WavStream

DEFAULT_VOICE: Final = "en"
_LIMIT_BYTES: Final = MAX_SENTENCE_S * 22_050 * 2 + 44
_INSTALL: Final = "make setup-system, or install the system's package espeak-ng"


class Espeak:
    """It says a piece as soon as it has it, some 50 ms after the text."""

    name = "espeak"

    def __init__(self, voice: str = DEFAULT_VOICE, *, program: str = "espeak-ng") -> None:
        self._voice = voice
        self._command = program
        self._program = SpeechProgram("espeak-ng")

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        text = speakable(text).replace("[[", " ").replace("]]", " ")  # what stands between them would be phonemes
        if not speakable(text):
            return
        command = (self._command, "--stdin", "--stdout", "-z", "-b", "1", f"-v{self._voice}")
        stream, odd, has_begun = WavStream(), b"", False
        async with aclosing(self._program.run(command, text, _LIMIT_BYTES)) as output:
            async for data in output:
                pcm = odd + stream.feed(data)
                odd = pcm[len(pcm) & ~1 :]
                if len(pcm) > 1:
                    has_begun = True
                    yield Speech(pcm[: len(pcm) & ~1], stream.rate_hz)
        if not has_begun:
            raise VoiceError("espeak-ng made no audio of a sentence")

    async def health(self) -> str | None:
        if (missing := self._program.missing((self._command,), _INSTALL)) is not None:
            return missing
        try:
            async with aclosing(self.speak("a")) as pieces:
                async for _ in pieces:
                    pass
        except VoiceError as exc:
            return f"{exc.message} (next: microclaw config set voice.espeak_voice {DEFAULT_VOICE})"
        return None

    async def close(self) -> None:
        await self._program.close()
