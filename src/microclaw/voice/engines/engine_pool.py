"""The processes of a recognizer (engine_worker.py): each answers one question at a time. It knows no engine."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

import microclaw
from microclaw.builds.confinement import confinement, holds_others_files
from microclaw.errors import ConfigError, VoiceError
from microclaw.voice.engines.engine_sandbox import EngineNeeds, StartedEngine, installation, start_engine
from microclaw.voice.engines.engine_worker import ANSWER, question

START_S: Final = 30.0
ANSWER_S: Final = 12.0
IDLE_S: Final = 300.0
WAIT_S: Final = 8.0
MAX_ANSWER_BYTES: Final = 64 << 10
_PACKAGE: Final = Path(microclaw.__file__).parent
T = TypeVar("T")
_MODULES: Final = ("site-packages", "dist-packages")


class PoolLimits(Struct, frozen=True):
    """At most `most` processes; `kept` of them stay ready for the next utterance, others end after `idle_s`."""

    most: int
    kept: int = 1
    idle_s: float = IDLE_S
    answer_s: float = ANSWER_S
    wait_s: float = WAIT_S
    """A question waits so long for the process of another one."""


Prepare = Callable[[], tuple[Mapping[str, object], EngineNeeds]]
"""Runs in a thread; gives what a new process is told, and what it may read beside Python's modules."""


class EnginePool:
    """Starts processes of `program` when they are needed, and keeps some of them."""

    def __init__(self, program: tuple[str, ...], prepare: Prepare, limits: PoolLimits) -> None:
        self._program, self._prepare, self._limits = program, prepare, limits
        self._places = asyncio.Semaphore(limits.most)
        self._starting = asyncio.Lock()
        self._idle: list[_EngineProcess] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self.pids: set[int] = set()

    async def ask(self, asked: Mapping[str, object], pcm: bytes) -> dict[str, Any]:
        """The answer of a process that is ready, or of a new one. Raises VoiceError."""
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await self._places.acquire()
        except TimeoutError as exc:
            text = f"all {self._limits.most} processes of speech recognition are in use"
            raise VoiceError(text, next_step="say it again") from exc
        return await self._in_place(self._answer(asked, pcm))

    async def warm_up(self) -> None:
        """Have a process ready."""
        await self._places.acquire()
        await self._in_place(self._ready())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._idle:
            await self._end(self._idle.pop())

    async def _in_place(self, work: Coroutine[Any, Any, T]) -> T:
        """It goes on if the wait for it is cancelled: a process hears to the end, and is kept."""
        task = asyncio.create_task(work, name="voice: recognition")
        self._tasks.add(task)
        task.add_done_callback(self._left)
        return await asyncio.shield(task)

    def _left(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._places.release()
        _ = task.cancelled() or task.exception()  # nobody may wait for it any more

    async def _answer(self, asked: Mapping[str, object], pcm: bytes) -> dict[str, Any]:
        process = await self._taken()
        try:
            answer = await process.ask(asked, pcm, self._limits.answer_s)
        except BaseException:
            await self._end(process)
            raise
        self._keep(process)
        return answer

    async def _ready(self) -> None:
        self._keep(await self._taken())

    async def _taken(self) -> _EngineProcess:
        """One that is ready, or a new one; they start one after another."""
        async with self._starting:
            while self._idle:
                process = self._idle.pop()
                if process.is_alive:
                    return process
                await self._end(process)
            return await self._started()

    async def _started(self) -> _EngineProcess:
        process = _EngineProcess()
        try:
            async with asyncio.timeout(START_S):
                setup, needs = await asyncio.to_thread(self._prepare)
                await process.start(self._program, needs)
                self.pids.add(process.pid)
                await process.ask(setup, b"", START_S)
        except ConfigError as exc:
            raise VoiceError(exc.message, next_step=exc.next_step) from exc
        except (TimeoutError, OSError, VoiceError) as exc:
            await self._end(process)
            raise VoiceError(f"speech recognition does not start: {exc or 'it is too slow'}") from exc
        except BaseException:
            await self._end(process)
            raise
        return process

    def _keep(self, process: _EngineProcess) -> None:
        process.since_s = time.monotonic()
        self._idle.append(process)
        if len(self._idle) > self._limits.kept:
            asyncio.get_running_loop().call_later(self._limits.idle_s, self._rested)

    def _rested(self) -> None:
        """End the process that was idle longest, if it is one too many."""
        oldest = min(self._idle, key=lambda one: one.since_s, default=None)
        is_spare = oldest is not None and len(self._idle) > self._limits.kept
        if oldest is not None and is_spare and time.monotonic() - oldest.since_s >= self._limits.idle_s:
            self._idle.remove(oldest)
            task = asyncio.create_task(self._end(oldest), name="voice: end a process")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _end(self, process: _EngineProcess) -> None:
        await process.end()
        self.pids.discard(process.pid)


class _EngineProcess:
    """One process of Python in the sandbox. After a VoiceError it is of no use any more."""

    def __init__(self) -> None:
        self.since_s = 0.0
        self.pid = 0
        self._engine: StartedEngine | None = None
        self._folder: TemporaryDirectory[str] | None = None

    @property
    def is_alive(self) -> bool:
        return self._engine is not None and self._engine.process.returncode is None

    async def start(self, program: tuple[str, ...], needs: EngineNeeds) -> None:
        if await asyncio.to_thread(confinement) == "landlock":
            self._folder = TemporaryDirectory(prefix="microclaw-")
        readable = [*await asyncio.to_thread(_python_files), *needs.readable]
        folder = None if self._folder is None else Path(self._folder.name)
        # not the host's own path: a home may be on it
        path = os.pathsep.join(map(str, (_PACKAGE.parent, *_installed_packages())))
        environment = {"PATH": "", "PYTHONPATH": path, "LC_ALL": "C.UTF-8"}
        self._engine = await start_engine(program, replace(needs, readable=readable, folder=folder), environment)
        self.pid = self._engine.process.pid

    async def ask(self, asked: Mapping[str, object], pcm: bytes, answer_s: float) -> dict[str, Any]:
        assert self._engine is not None
        stdin, stdout = self._engine.process.stdin, self._engine.process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            async with asyncio.timeout(answer_s):
                stdin.write(question(asked, pcm))
                await stdin.drain()
                (size,) = ANSWER.unpack(await stdout.readexactly(ANSWER.size))
                if size > MAX_ANSWER_BYTES:
                    raise VoiceError(f"the process of speech recognition answers with {size:,} bytes")
                return msgspec.json.decode(await stdout.readexactly(size), type=dict[str, Any])
        except TimeoutError as exc:
            raise VoiceError(f"speech recognition did not answer within {answer_s:g} s") from exc
        except (OSError, RuntimeError, asyncio.IncompleteReadError) as exc:  # RuntimeError: uvloop's closed pipe
            raise VoiceError("the process of speech recognition ended") from exc
        except msgspec.MsgspecError as exc:
            raise VoiceError(f"the process of speech recognition talks nonsense: {exc}") from exc

    async def end(self) -> None:
        if self._engine is not None:
            await self._engine.end()
        if self._folder is not None:
            self._folder.cleanup()


def _python_files() -> list[Path]:
    """The files that a worker in Python reads: this interpreter, its installed packages, and our own."""
    interpreter = [*installation(Path(sys.executable)), *installation(Path(sys.base_prefix, "bin", "python3"))]
    ours = _PACKAGE if holds_others_files(_PACKAGE.parent) else _PACKAGE.parent  # Python lists the folder above
    return [*interpreter, *_installed_packages(), ours]


def _installed_packages() -> list[Path]:
    return [path for entry in sys.path if (path := Path(entry)).name in _MODULES and path.is_dir()]
