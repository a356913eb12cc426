"""One process of a recognizer (engine_worker.py), seen by its host. Its failures are VoiceErrors."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.builds.confinement import confinement
from microclaw.errors import ProtocolError, VoiceError
from microclaw.voice.engines import engine_protocol as protocol
from microclaw.voice.engines.engine import RATE_HZ, Transcript
from microclaw.voice.engines.engine_files import python_files, python_path
from microclaw.voice.engines.engine_sandbox import NO_MORE, EngineNeeds, StartedEngine, start_engine

MAX_BEHIND_BYTES: Final = 5 * RATE_HZ * 2
"""Audio that a process has not read yet."""
_ENDED: Final = "the process of speech recognition ended"
_log = logging.getLogger(__name__)


Decide: TypeAlias = Callable[[dict[str, Any]], Transcript]
"""What an answer means; raises ProtocolError for what is no answer of such a process."""


class Preparation(Struct, frozen=True):
    """`setup` is what a process is told when it starts, `needs` what it reads beside Python's modules."""

    setup: Mapping[str, object]
    needs: EngineNeeds = NO_MORE


class EngineProcess:
    """One process, with one utterance at a time. `engine` is the engine's name for the log."""

    def __init__(self, engine: str, preparation: Preparation, answer_s: float) -> None:
        self.preparation, self.since_s = preparation, 0.0
        self.fault: VoiceError | None = None
        self._engine = engine
        self._answer_s = answer_s
        self._folder: TemporaryDirectory[str] | None = None
        self._started: StartedEngine | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._on_partial: Callable[[str], None] = lambda _text: None
        self._decide: Decide = lambda _body: Transcript("", 0.0)
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._awaited = protocol.READY

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_broken(self) -> bool:
        return self.fault is not None

    async def start(self, program: tuple[str, ...]) -> None:
        if await asyncio.to_thread(confinement) == "landlock":
            self._folder = TemporaryDirectory(prefix="microclaw-")
        readable = [*await asyncio.to_thread(python_files), *self.preparation.needs.readable]
        needs = replace(
            self.preparation.needs, readable=readable, folder=None if self._folder is None else Path(self._folder.name)
        )
        path = os.pathsep.join(python_path())
        self._started = await start_engine(program, needs, {"PATH": "", "PYTHONPATH": path, "LC_ALL": "C.UTF-8"})
        self._process = self._started.process
        self._reading = asyncio.create_task(self._read(), name=f"voice: read {self._engine}")
        answer = self._expect(protocol.READY)
        self._write(protocol.json_frame(protocol.SETUP, dict(self.preparation.setup)))
        await answer

    def begin(self, asked: Mapping[str, object], on_partial: Callable[[str], None], decide: Decide) -> None:
        self._on_partial, self._decide = on_partial, decide
        self._write(protocol.json_frame(protocol.BEGIN, asked))

    def hear(self, pcm: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        behind = self._process.stdin.transport.get_write_buffer_size()
        if behind > MAX_BEHIND_BYTES:
            raise self._break(f"speech recognition is {behind / RATE_HZ / 2:.1f} s behind")
        self._write(protocol.frame(protocol.AUDIO, pcm))

    def pause(self) -> None:
        """It may be the end: what `finish` will ask for is made now. With audio after it the utterance goes on."""
        self._write(protocol.frame(protocol.PAUSE))

    async def finish(self) -> Transcript:
        answer = self._expect(protocol.FINAL)
        self._write(protocol.frame(protocol.END))
        try:
            async with asyncio.timeout(self._answer_s):
                body = await answer
        except TimeoutError:
            raise self._break(f"speech recognition did not answer within {self._answer_s:g} s") from None
        finally:
            self._on_partial = lambda _text: None
        try:
            return self._decide(body)
        except ProtocolError as exc:
            raise self._break(exc.message) from exc

    async def forget(self) -> None:
        """Give up the utterance; returns when the process is ready for another one."""
        self._on_partial = lambda _text: None
        answer = self._expect(protocol.READY)
        self._write(protocol.frame(protocol.ABANDON))
        await answer

    async def end(self) -> None:
        self._break("it was ended")
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._started is not None and self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._started.end()
        if self._folder is not None:
            self._folder.cleanup()

    def _expect(self, kind: bytes) -> asyncio.Future[dict[str, Any]]:
        if self.fault is not None:
            raise self.fault
        self._awaited, self._answer = kind, asyncio.get_running_loop().create_future()
        return self._answer

    def _write(self, data: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        assert self._process is not None
        assert self._process.stdin is not None
        if self._process.stdin.is_closing():  # known before the end of its output is read
            raise self._break(_ENDED)
        self._process.stdin.write(data)

    def _break(self, message: str) -> VoiceError:
        """Kill it; every call fails from now on."""
        if self.fault is None:
            self.fault = VoiceError(message)
        if self._started is not None:
            self._started.kill()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self.fault)
            self._answer.exception()  # seen: nobody may wait for it
        return self.fault

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        source = self._process.stdout
        try:
            while True:
                head = await source.readexactly(protocol.HEADER.size)
                kind, size = protocol.header(head, protocol.OF_PROCESS, protocol.MAX_ANSWER_BYTES)
                self._came(kind, protocol.json_body(await source.readexactly(size)))
        except asyncio.IncompleteReadError:
            self._break(_ENDED)
        except ProtocolError as exc:
            self._break(f"the process of speech recognition talks nonsense: {exc.message}")

    def _came(self, kind: bytes, body: dict[str, Any]) -> None:
        if kind == protocol.PARTIAL:
            text = body.get("text")
            if not isinstance(text, str):
                raise ProtocolError("a partial text without text")
            self._on_partial(text)
        elif kind == self._awaited and self._answer is not None and not self._answer.done():
            self._answer.set_result(body)
        else:
            raise ProtocolError(f"an answer of kind {kind!r} that nobody waits for")
