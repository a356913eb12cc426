"""Text to speech by a program that runs once a sentence: text in, audio out. Knows no program.

All its output is taken at once, so that it ends long before the sentence is played and its place is free again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Final

from microclaw.errors import VoiceError
from microclaw.text import clean_text
from microclaw.voice.engines.engine import Speech, Synthesizer, speakable
from microclaw.voice.engines.engine_sandbox import PROCESSOR_S, EngineNeeds, StartedEngine, start_engine

AT_ONCE: Final = 4
PLACE_S: Final = 5.0
RUN_S: Final = 20.0
MAX_WORDS_BYTES: Final = 300
PIECE_S: Final = 0.2
_READ_BYTES: Final = 16_384
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
"""What a program gets of the host's environment: no key of a service is in it."""


class SpeechProgram(Synthesizer):
    """Runs at most AT_ONCE processes in the sandbox; one more waits for PLACE_S."""

    first_piece_s = RUN_S  # it comes with the whole
    install: ClassVar[str]
    """How to install it."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._places = asyncio.Semaphore(AT_ONCE)

    @abstractmethod
    async def say(self, text: str) -> tuple[bytes, int]:
        """The samples of a sentence and their rate. Raises VoiceError."""

    @abstractmethod
    async def check_voice(self) -> None:
        """Raise VoiceError if the program does not have its voice."""

    def readable_text(self, text: str) -> str:
        """The text without what the program would take for something else."""
        return text

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        text = speakable(self.readable_text(speakable(text)))
        if not text:
            return
        pcm, rate_hz = await self.say(text)
        if len(pcm) < 2:
            raise VoiceError(f"{self.name} made no audio of a sentence")
        size = int(rate_hz * PIECE_S) * 2
        for at in range(0, len(pcm) & ~1, size):
            yield Speech(pcm[at : min(at + size, len(pcm) & ~1)], rate_hz)

    async def check(self) -> None:
        if shutil.which(self._program) is None:
            raise VoiceError(f"{self.name} is not installed", next_step=self.install)
        await self.check_voice()

    async def run(
        self,
        words: Sequence[str],
        text: str = "",
        *,
        limit_bytes: int,
        file_bytes: int | None = None,
        inherits: Sequence[int] = (),
    ) -> bytes:
        """The program's output. Raises VoiceError when it fails. A cancelled run kills it.

        `limit_bytes` are for its output, `file_bytes` for each file that it writes, shared memory included.
        """
        try:
            async with asyncio.timeout(PLACE_S):
                await self._places.acquire()
        except TimeoutError as exc:
            raise VoiceError(f"{self.name} speaks as many sentences at once as it may") from exc
        try:
            async with asyncio.timeout(RUN_S):
                engine = await self._start(words, file_bytes, inherits)
                try:
                    return await self._talk(engine, text, limit_bytes)
                finally:
                    await engine.end()
        except TimeoutError as exc:
            raise VoiceError(f"{self.name} took more than {RUN_S:g} s for a sentence") from exc
        finally:
            self._places.release()

    async def _start(self, words: Sequence[str], file_bytes: int | None, inherits: Sequence[int]) -> StartedEngine:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        needs = EngineNeeds(file_bytes=file_bytes, processor_s=PROCESSOR_S)
        try:
            return await start_engine(
                [self._program, *words], needs, environment, pass_fds=inherits, stderr=asyncio.subprocess.PIPE
            )
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else exc
            raise VoiceError(f"{self.name} cannot be started: {why}", next_step="microclaw doctor") from exc

    async def _talk(self, engine: StartedEngine, text: str, limit_bytes: int) -> bytes:
        process = engine.process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        if not process.stdin.is_closing():  # it ended already: uvloop's pipe is closed, and no error of it
            process.stdin.write(text.encode(errors="replace") + b"\n")  # a pipe holds it
            process.stdin.close()
        output, said = await asyncio.gather(_output(engine, process.stdout, limit_bytes), _last_words(process.stderr))
        code = await process.wait()
        if len(output) > limit_bytes:
            raise VoiceError(f"{self.name} made more than {limit_bytes:,} bytes of one sentence")
        if code != 0:
            words = clean_text(said.decode(errors="replace"), one_line=True, limit=MAX_WORDS_BYTES)
            raise VoiceError(f"{self.name} ended with code {code}: {words or 'it said nothing'}", foreign=True)
        return output


async def _output(engine: StartedEngine, pipe: asyncio.StreamReader, limit_bytes: int) -> bytes:
    """All of it; over the limit the engine is killed, which ends its pipes."""
    output = bytearray()
    while data := await pipe.read(_READ_BYTES):
        output += data
        if len(output) > limit_bytes:
            engine.kill()
            break
    return bytes(output)


async def _last_words(pipe: asyncio.StreamReader) -> bytes:
    kept = bytearray()
    while data := await pipe.read(_READ_BYTES):
        kept += data
        del kept[:-MAX_WORDS_BYTES]
    return bytes(kept)
