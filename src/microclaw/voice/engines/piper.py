"""Text to speech with a person's own piper and voice file: https://github.com/rhasspy/piper.

A process of its own, as its newer versions are under the GPL; it is no dependency of ours.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from microclaw.errors import VoiceError
from microclaw.voice.engines.engine import MAX_SENTENCE_S, SPOKEN_HZ
from microclaw.voice.engines.program import SpeechProgram

MAX_DESCRIPTION_BYTES: Final = 1 << 20
_VOICE: Final = "microclaw config set voice.piper_voice /path/to/voice.onnx, with voice.onnx.json beside it"


class Piper(SpeechProgram):
    """`voice` is the path of an .onnx file; the rate stands in the .onnx.json beside it."""

    name = "piper"
    at_once = 2
    install = "microclaw config set voice.piper_command '[\"/path/to/piper\"]'"

    def __init__(self, command: Sequence[str], voice: str) -> None:
        self._voice = Path(voice).absolute()
        self._description = Path(f"{self._voice}.json")
        named = [path for word in command[1:] if (path := Path(word)).is_absolute()]
        super().__init__(command, [self._voice, self._description, *named])

    async def say(self, text: str) -> tuple[bytes, int]:
        rate_hz = await asyncio.to_thread(self._rate)
        words = ("--model", str(self._voice), "--output-raw")
        return await self.run(words, text, limit_bytes=MAX_SENTENCE_S * rate_hz * 2), rate_hz

    async def check(self) -> None:
        await asyncio.to_thread(self._rate)

    def _rate(self) -> int:
        """The voice's rate; VoiceError when it does not say one."""
        if not self._voice.is_file() or not os.access(self._voice, os.R_OK):
            raise VoiceError(f"piper's voice: there is no file to be read at {self._voice}", next_step=_VOICE)
        try:
            with self._description.open("rb") as file:
                rate_hz = json.loads(file.read(MAX_DESCRIPTION_BYTES))["audio"]["sample_rate"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
            raise VoiceError(f"piper's voice: {self._description} has no audio.sample_rate", next_step=_VOICE) from exc
        if type(rate_hz) is not int or rate_hz not in SPOKEN_HZ:
            raise VoiceError(f"piper's voice: a rate of {rate_hz!r}: 8,000 to 48,000 Hz are played", next_step=_VOICE)
        return rate_hz
