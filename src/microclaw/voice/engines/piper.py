"""Text to speech with a person's own piper and voice file, a process a sentence: https://github.com/rhasspy/piper.

A process of its own, as its newer versions are under the GPL; it is no dependency of ours.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from microclaw.errors import VoiceError
from microclaw.voice.engines.engine import Speech
from microclaw.voice.engines.program import MAX_SENTENCE_S, SpeechProgram, existing_file, speakable

MAX_DESCRIPTION_BYTES: Final = 1 << 20
_INSTALL: Final = "microclaw config set voice.piper_command '[\"/path/to/piper\"]'"
_VOICE: Final = "microclaw config set voice.piper_voice /path/to/voice.onnx, with voice.onnx.json beside it"


class Piper:
    """`voice` is the path of an .onnx file; the rate stands in the .onnx.json beside it."""

    name = "piper"

    def __init__(self, command: Sequence[str], voice: str) -> None:
        self._command = tuple(command)
        self._voice = str(Path(voice).absolute())
        voice_files = [Path(self._voice), Path(f"{self._voice}.json")]
        named = [path for word in self._command[1:] if (path := Path(word)).is_absolute()]
        self._program = SpeechProgram(self.name, at_once=2, readable=[*voice_files, *named])
        self._rate_hz = 0

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        text = speakable(text)
        if not text:
            return
        rate_hz = await asyncio.to_thread(self._rate)
        command = (*self._command, "--model", self._voice, "--output-raw")
        odd, has_begun = b"", False
        async with aclosing(self._program.run(command, text, MAX_SENTENCE_S * rate_hz * 2)) as output:
            async for data in output:
                pcm = odd + data
                odd = pcm[len(pcm) & ~1 :]
                if len(pcm) > 1:
                    has_begun = True
                    yield Speech(pcm[: len(pcm) & ~1], rate_hz)
        if not has_begun:
            raise VoiceError("piper made no audio of a sentence")

    async def health(self) -> str | None:
        if (missing := self._program.missing(self._command, _INSTALL)) is not None:
            return missing
        try:
            await asyncio.to_thread(self._rate)
        except VoiceError as exc:
            return f"{exc.message} (next: {exc.next_step})"
        return None

    async def close(self) -> None:
        await self._program.close()

    def _rate(self) -> int:
        """The voice's rate; VoiceError when it does not say one."""
        if self._rate_hz:
            return self._rate_hz
        description = f"{self._voice}.json"
        for path in (self._voice, description):
            if (wrong := existing_file(path)) is not None:
                raise VoiceError(f"piper's voice: {wrong}", next_step=_VOICE)
        try:
            with Path(description).open("rb") as file:
                rate_hz = json.loads(file.read(MAX_DESCRIPTION_BYTES))["audio"]["sample_rate"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
            raise VoiceError(f"piper's voice: {description} names no audio.sample_rate", next_step=_VOICE) from exc
        if type(rate_hz) is not int or not 8_000 <= rate_hz <= 48_000:
            raise VoiceError(f"piper's voice: a rate of {rate_hz!r}: 8,000 to 48,000 Hz are played", next_step=_VOICE)
        self._rate_hz = rate_hz
        return rate_hz
