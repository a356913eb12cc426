"""Text to speech with flite: https://github.com/festvox/flite. English, small, quick.

If its text is not an argument, flite writes the audio only to a file, and reads that file again itself. Every account
of the machine could see arguments.
"""

from __future__ import annotations

import asyncio
import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from microclaw.errors import VoiceError
from microclaw.interfaces.voice.engines.engine import MAX_SENTENCE_S
from microclaw.interfaces.voice.engines.program import SpeechProgram
from microclaw.interfaces.voice.engines.wav import read_wav

DEFAULT_VOICE: Final = "slt"
MAX_LIST_BYTES: Final = 4_096
_LIMIT_BYTES: Final = MAX_SENTENCE_S * 16_000 * 2 + 44


class Flite(SpeechProgram):
    """The program flite with one voice."""

    name = "flite"
    install = "make setup-system, or install the system's package flite"

    def __init__(self, voice: str = DEFAULT_VOICE) -> None:
        super().__init__("flite")
        self._voice = voice
        self._voices: frozenset[str] = frozenset()

    def readable_text(self, text: str) -> str:
        return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()

    async def say(self, text: str) -> tuple[bytes, int]:
        await self.check_voice()
        # Not over stdin: with uvloop that is a socket, which a program cannot open by a path.
        with _open_files() as (text_file, audio, fds):
            await asyncio.to_thread(text_file.write_text, text, "ascii")
            words = ("-voice", self._voice, "-f", str(text_file), "-o", str(audio))
            await self.run(words, limit_bytes=MAX_LIST_BYTES, file_bytes=_LIMIT_BYTES, inherits=fds)
            try:
                wav = await asyncio.to_thread(audio.read_bytes)
            except OSError as exc:
                raise VoiceError("flite wrote no audio of a sentence") from exc
        return read_wav(wav)

    async def check_voice(self) -> None:
        """Raise VoiceError if flite does not have the voice.

        flite would use its first voice instead of an unknown one, and would load a voice that is a file or a URL.
        """
        if not self._voices:
            output = await self.run(("-lv",), limit_bytes=MAX_LIST_BYTES)
            voices = output.decode(errors="replace").partition(":")[2]
            self._voices = frozenset(voices.split())
        if self._voice not in self._voices:
            voice_names = ", ".join(sorted(self._voices)[:12])
            raise VoiceError(
                f"flite has no voice {self._voice!r}; it has {voice_names}",
                next_step=f"microclaw config set voice.flite_voice {DEFAULT_VOICE}",
            )


@contextmanager
def _open_files() -> Iterator[tuple[Path, Path, Sequence[int]]]:
    """Yield the paths of the text and the audio, and the descriptors behind them.

    On Linux both are in memory, which ends with the processes that have it open: no spoken text outlasts a kill.
    """
    if sys.platform != "linux":
        with TemporaryDirectory(prefix="microclaw-") as folder:
            yield Path(folder, "said.txt"), Path(folder, "speech.wav"), ()
        return
    with ExitStack() as opened:
        fds = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("said", "speech")]
        for fd in fds:
            opened.callback(os.close, fd)
        text_fd, audio_fd = fds
        yield Path(f"/proc/self/fd/{text_fd}"), Path(f"/proc/self/fd/{audio_fd}"), fds
