"""Text to speech with flite: https://github.com/festvox/flite. English, small, quick.

It writes the audio of a text that is no argument into a file alone, which it reads again itself. Arguments would be
seen by every account of the machine.
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
from microclaw.voice.engines.engine import MAX_SENTENCE_S
from microclaw.voice.engines.program import SpeechProgram
from microclaw.voice.engines.wav import read_wav

DEFAULT_VOICE: Final = "slt"
MAX_LIST_BYTES: Final = 4_096
_LIMIT_BYTES: Final = MAX_SENTENCE_S * 16_000 * 2 + 44


class Flite(SpeechProgram):
    name = "flite"
    install = "make setup-system, or install the system's package flite"

    def __init__(self, voice: str = DEFAULT_VOICE, *, program: str = "flite") -> None:
        super().__init__(program)
        self._voice = voice
        self._voices: frozenset[str] = frozenset()

    def readable_text(self, text: str) -> str:
        return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()

    async def say(self, text: str) -> tuple[bytes, int]:
        await self.check_voice()
        with _files() as (said, audio, fds):  # no stdin: uvloop's is a socket, which cannot be opened by a path
            await asyncio.to_thread(said.write_text, text, "ascii")
            words = ("-voice", self._voice, "-f", str(said), "-o", str(audio))
            await self.run(words, limit_bytes=MAX_LIST_BYTES, file_bytes=_LIMIT_BYTES, inherits=fds)
            try:
                wav = await asyncio.to_thread(audio.read_bytes)
            except OSError as exc:
                raise VoiceError("flite wrote no audio of a sentence") from exc
        return read_wav(wav)

    async def check_voice(self) -> None:
        """flite takes its first voice in the place of one that it does not have, and loads files and URLs."""
        if not self._voices:
            listed = (await self.run(("-lv",), limit_bytes=MAX_LIST_BYTES)).decode(errors="replace")
            self._voices = frozenset(listed.partition(":")[2].split())
        if self._voice not in self._voices:
            known = ", ".join(sorted(self._voices)[:12])
            raise VoiceError(
                f"flite has no voice {self._voice!r}; it has {known}",
                next_step=f"microclaw config set voice.flite_voice {DEFAULT_VOICE}",
            )


@contextmanager
def _files() -> Iterator[tuple[Path, Path, Sequence[int]]]:
    """Yield the paths of the text and the audio, and the descriptors behind them.

    On Linux in memory, which ends with the processes that have it open: nothing that was said outlasts a kill.
    """
    if sys.platform != "linux":
        with TemporaryDirectory(prefix="microclaw-") as folder:
            yield Path(folder, "said.txt"), Path(folder, "speech.wav"), ()
        return
    with ExitStack() as opened:
        fds = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("said", "speech")]
        for fd in fds:
            opened.callback(os.close, fd)
        said, audio = (Path(f"/proc/self/fd/{fd}") for fd in fds)
        yield said, audio, fds
