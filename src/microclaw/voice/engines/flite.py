"""Text to speech with flite, a process a sentence: https://github.com/festvox/flite. English, small, quick.

It writes the audio of a text that is no argument into a file alone, which it reads again itself; so the first audio
comes when the sentence is done. Arguments would be seen by every account of the machine.
"""

from __future__ import annotations

import asyncio
import os
import sys
import unicodedata
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from microclaw.errors import VoiceError
from microclaw.voice.engines.engine import Speech
from microclaw.voice.engines.program import MAX_SENTENCE_S, SpeechProgram, speakable
from microclaw.voice.engines.wav import WavStream

DEFAULT_VOICE: Final = "slt"
PIECE_BYTES: Final = 6_400
"""200 ms of 16 kHz."""
MAX_LIST_BYTES: Final = 4_096
_LIMIT_BYTES: Final = MAX_SENTENCE_S * 16_000 * 2 + 44
_INSTALL: Final = "make setup-system, or install the system's package flite"


class Flite:
    name = "flite"

    def __init__(self, voice: str = DEFAULT_VOICE, *, program: str = "flite") -> None:
        self._voice = voice
        self._command = program
        self._program = SpeechProgram(self.name)
        self._voices: frozenset[str] = frozenset()

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        ascii_text = unicodedata.normalize("NFKD", speakable(text)).encode("ascii", "ignore").decode()
        if not speakable(ascii_text):
            return
        await self._check_voice()
        with _files() as (said, path, fds):  # no stdin: uvloop's is a socket, which cannot be opened by a path
            await asyncio.to_thread(said.write_text, ascii_text, "ascii")
            command = (self._command, "-voice", self._voice, "-f", str(said), "-o", str(path))
            run = self._program.run(command, "", MAX_LIST_BYTES, file_bytes=_LIMIT_BYTES, pass_fds=fds)
            async with aclosing(run) as output:
                async for _ in output:
                    pass  # it prints nothing
            wav = await asyncio.to_thread(_contents, path)
        stream = WavStream()
        pcm = stream.feed(wav)
        if not pcm:
            raise VoiceError("flite made no audio of a sentence")
        for at in range(0, len(pcm), PIECE_BYTES):
            yield Speech(pcm[at : at + PIECE_BYTES], stream.rate_hz)

    async def health(self) -> str | None:
        if (missing := self._program.missing((self._command,), _INSTALL)) is not None:
            return missing
        try:
            await self._check_voice()
        except VoiceError as exc:
            return f"{exc.message} (next: {exc.next_step})" if exc.next_step else exc.message
        return None

    async def close(self) -> None:
        await self._program.close()

    async def _check_voice(self) -> None:
        """flite takes its first voice in the place of one that it does not have, and loads files and URLs."""
        if not self._voices:
            async with aclosing(self._program.run((self._command, "-lv"), "", MAX_LIST_BYTES)) as output:
                listed = b"".join([data async for data in output]).decode(errors="replace")
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
        said, speech = (Path(f"/proc/self/fd/{fd}") for fd in fds)
        yield said, speech, fds


def _contents(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            wav = file.read(_LIMIT_BYTES + 1)
    except OSError as exc:
        raise VoiceError("flite wrote no audio of a sentence") from exc
    if not wav:
        raise VoiceError("flite wrote no audio of a sentence")
    if len(wav) > _LIMIT_BYTES:
        raise VoiceError(f"a sentence takes more than {MAX_SENTENCE_S} s to say")
    return wav
