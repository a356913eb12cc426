"""Text to speech by a program that runs once for each sentence: text in, audio out. The base of such engines.

Its output is read at once, so that the program ends, and frees its place, long before the sentence is played.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Final

from microclaw.errors import VoiceError
from microclaw.interfaces.voice.engines.engine import Speech, Synthesizer, speakable
from microclaw.interfaces.voice.engines.engine_sandbox import PROCESSOR_S, EngineNeeds, StartedEngine, start_engine
from microclaw.text import clean_text

AT_ONCE: Final = 4
PLACE_S: Final = 5.0
RUN_S: Final = 20.0
MAX_WORDS_BYTES: Final = 300
PIECE_S: Final = 0.2
_READ_BYTES: Final = 16_384
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
"""The variables of the host's environment that a program gets. None of them holds the key of a service."""


class SpeechProgram(Synthesizer):
    """A program that runs in the sandbox, up to AT_ONCE times at once. A further run waits up to PLACE_S."""

    # The first piece is ready when the whole sentence is.
    first_piece_s = RUN_S
    install: ClassVar[str]
    """How to install it."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._places = asyncio.Semaphore(AT_ONCE)

    @abstractmethod
    async def say(self, text: str) -> tuple[bytes, int]:
        """Return the samples of a sentence and their rate. Raises VoiceError."""

    @abstractmethod
    async def check_voice(self) -> None:
        """Raise VoiceError if the program does not have its voice."""

    def readable_text(self, text: str) -> str:
        """Return the text without signs that the program does not read as text."""
        return text

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        text = speakable(self.readable_text(speakable(text)))
        if not text:
            return
        pcm, rate_hz = await self.say(text)
        if len(pcm) < 2:
            raise VoiceError(f"{self.name} made no audio of a sentence")
        piece_bytes = int(rate_hz * PIECE_S) * 2
        whole_bytes = len(pcm) & ~1
        for start in range(0, whole_bytes, piece_bytes):
            yield Speech(pcm[start : min(start + piece_bytes, whole_bytes)], rate_hz)

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
        """Run the program and return its output. Raises VoiceError if it fails. Cancelling kills it.

        `limit_bytes` limits its output, `file_bytes` each file that it writes, including shared memory.
        """
        try:
            async with asyncio.timeout(PLACE_S):
                await self._places.acquire()
        except TimeoutError as exc:
            raise VoiceError(f"{self.name} is busy with {AT_ONCE} sentences") from exc
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
        # If the program has ended already, uvloop's pipe is closed and a write raises. A pipe holds a whole sentence.
        if not process.stdin.is_closing():
            process.stdin.write(text.encode(errors="replace") + b"\n")
            process.stdin.close()
        reading_output = _read_output(engine, process.stdout, limit_bytes)
        output, errors = await asyncio.gather(reading_output, _read_last_words(process.stderr))
        code = await process.wait()
        if len(output) > limit_bytes:
            raise VoiceError(f"{self.name} made more than {limit_bytes:,} bytes of one sentence")
        if code != 0:
            last_words = clean_text(errors.decode(errors="replace"), one_line=True, limit=MAX_WORDS_BYTES)
            raise VoiceError(f"{self.name} ended with code {code}: {last_words or 'it said nothing'}", foreign=True)
        return output


async def _read_output(engine: StartedEngine, pipe: asyncio.StreamReader, limit_bytes: int) -> bytes:
    """Return the whole output. Over the limit the engine is killed, which ends its pipes."""
    output = bytearray()
    while data := await pipe.read(_READ_BYTES):
        output += data
        if len(output) > limit_bytes:
            engine.kill()
            break
    return bytes(output)


async def _read_last_words(pipe: asyncio.StreamReader) -> bytes:
    """Return the last MAX_WORDS_BYTES of the pipe."""
    last_words = bytearray()
    while data := await pipe.read(_READ_BYTES):
        last_words += data
        del last_words[:-MAX_WORDS_BYTES]
    return bytes(last_words)
