"""A speech program that is run once a sentence: text on its stdin, audio on its stdout. Knows no program.

All its output is taken at once, so that it ends long before the sentence is played and its place is free again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from microclaw.errors import VoiceError
from microclaw.text import clean_text
from microclaw.voice.engines.engine_files import named_folders
from microclaw.voice.engines.engine_sandbox import PROCESSOR_S, EngineNeeds, StartedEngine, start_engine

MAX_SENTENCE_S: Final = 30
"""What a sentence may take to play."""
AT_ONCE: Final = 4
PLACE_S: Final = 5.0
RUN_S: Final = 20.0
MAX_WORDS_BYTES: Final = 300
MAX_TEXT_CHARS: Final = 2_000
_READ_BYTES: Final = 16_384
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "ESPEAK_DATA_PATH")
"""What a program gets of the host's environment: no key of a service is in it."""
_READ_FOLDERS: Final = ("LD_LIBRARY_PATH", "ESPEAK_DATA_PATH")


class _Run(Struct, frozen=True):
    command: Sequence[str]
    text: str
    limit_bytes: int
    file_bytes: int | None
    came: asyncio.Queue[bytes | None]
    pass_fds: Sequence[int]


class SpeechProgram:
    """Runs at most `at_once` processes in the sandbox, which read `readable`; one more waits for PLACE_S."""

    def __init__(
        self, name: str, *, at_once: int = AT_ONCE, run_s: float = RUN_S, readable: Sequence[Path] = ()
    ) -> None:
        self.name = name
        self._readable = tuple(readable)
        self._places = asyncio.Semaphore(at_once)
        self._run_s = run_s
        self._running: set[asyncio.Task[None]] = set()

    async def run(
        self,
        command: Sequence[str],
        text: str,
        limit_bytes: int,
        *,
        file_bytes: int | None = None,
        pass_fds: Sequence[int] = (),
    ) -> AsyncGenerator[bytes]:
        """Yield the command's output, as it comes. Closing the generator kills it. Raises VoiceError when it fails.

        `limit_bytes` are for its output, `file_bytes` for each file that it writes, shared memory included. It
        inherits `pass_fds`.
        """
        came: asyncio.Queue[bytes | None] = asyncio.Queue()  # holds at most limit_bytes
        run = _Run(command, text, limit_bytes, file_bytes, came, pass_fds)
        task = asyncio.create_task(self._run(run), name=f"voice: {self.name}")
        self._running.add(task)
        try:
            while (data := await came.get()) is not None:
                yield data
            await task
        finally:
            self._running.discard(task)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Kill what runs."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def missing(self, command: Sequence[str], next_step: str) -> str | None:
        """The health line of a program that is not there."""
        found = shutil.which(command[0]) if command else None
        return None if found else f"{self.name} is not installed (next: {next_step})"

    async def _run(self, run: _Run) -> None:
        try:
            await self._take_place()
            try:
                async with asyncio.timeout(self._run_s):
                    await self._talk(run)
            finally:
                self._places.release()
        except TimeoutError as exc:
            raise VoiceError(f"{self.name} took more than {self._run_s:g} s for a sentence") from exc
        finally:
            run.came.put_nowait(None)

    async def _take_place(self) -> None:
        try:
            async with asyncio.timeout(PLACE_S):
                await self._places.acquire()
        except TimeoutError as exc:
            raise VoiceError(f"{self.name} speaks as many sentences at once as it may") from exc

    async def _talk(self, run: _Run) -> None:
        engine = await self._start(run)
        process = engine.process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            words = asyncio.create_task(_last_words(process.stderr), name=f"voice: stderr of {self.name}")
            try:
                with contextlib.suppress(ConnectionError):  # it ended before it read: its exit code tells why
                    if not process.stdin.is_closing():  # it ended already: uvloop's pipe is closed, and no error of it
                        process.stdin.write(run.text.encode(errors="replace") + b"\n")
                        await process.stdin.drain()
                        process.stdin.close()
                left = run.limit_bytes
                while data := await process.stdout.read(_READ_BYTES):
                    left -= len(data)
                    if left < 0:
                        raise VoiceError(f"{self.name} made more than {run.limit_bytes:,} bytes of one sentence")
                    run.came.put_nowait(data)
                code = await process.wait()
                if code != 0:
                    said = clean_text((await words).decode(errors="replace"), one_line=True, limit=MAX_WORDS_BYTES)
                    raise VoiceError(f"{self.name} ended with code {code}: {said or 'it said nothing'}", foreign=True)
            finally:
                words.cancel()
                await asyncio.gather(words, return_exceptions=True)
        finally:
            await engine.end()

    async def _start(self, run: _Run) -> StartedEngine:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        readable = [*self._readable, *named_folders(environment, _READ_FOLDERS)]
        needs = EngineNeeds(readable, file_bytes=run.file_bytes, processor_s=PROCESSOR_S)
        try:
            return await start_engine(
                run.command, needs, environment, pass_fds=run.pass_fds, stderr=asyncio.subprocess.PIPE
            )
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else exc
            raise VoiceError(f"{self.name} cannot be started: {why}", next_step="microclaw doctor") from exc


def speakable(text: str) -> str:
    """The text on one line, as programs read it; "" when there is nothing to say in it."""
    text = " ".join(clean_text(text, one_line=True, limit=MAX_TEXT_CHARS).split())
    return text if any(c.isalnum() for c in text) else ""


async def _last_words(pipe: asyncio.StreamReader) -> bytes:
    kept = bytearray()
    while data := await pipe.read(4096):
        kept += data
        del kept[:-MAX_WORDS_BYTES]
    return bytes(kept)


def existing_file(path: str) -> str | None:
    """The fault of a file that a setting names; None: it can be read."""
    return None if Path(path).is_file() and os.access(path, os.R_OK) else f"there is no file {path}"
