"""The processes of a recognizer (whisper_worker.py). Each answers one question at a time."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

import microclaw
from microclaw.conversion import decode_json
from microclaw.errors import VoiceError
from microclaw.interfaces.voice.engines.engine_sandbox import EngineNeeds, StartedEngine, installation, start_engine
from microclaw.interfaces.voice.engines.whisper_worker import ANSWER, question
from microclaw.programs.builds.confinement import holds_others_files

START_S: Final = 30.0
ANSWER_S: Final = 12.0
IDLE_S: Final = 300.0
WAIT_S: Final = 8.0
MAX_ANSWER_BYTES: Final = 64 << 10
_PACKAGE: Final = Path(microclaw.__file__).parent
T = TypeVar("T")
_MODULES: Final = ("site-packages", "dist-packages")


class PoolLimits(Struct, frozen=True):
    """The limits of a pool: up to `most` processes. `spare_count` of them stay ready, others end after `idle_s`."""

    most: int
    spare_count: int = 1
    idle_s: float = IDLE_S
    answer_s: float = ANSWER_S
    wait_s: float = WAIT_S
    """How long a question waits for a process that is in use, in seconds."""


Prepare = Callable[[], tuple[Mapping[str, object], EngineNeeds]]
"""Return the setup message of a new process, and its needs beside Python's modules. Runs in a thread."""


class EnginePool:
    """Processes of one program. It starts them when they are needed, and keeps some of them."""

    def __init__(self, program: tuple[str, ...], prepare: Prepare, limits: PoolLimits) -> None:
        self._program = program
        self._prepare = prepare
        self._limits = limits
        self._places = asyncio.Semaphore(limits.most)
        self._starting = asyncio.Lock()
        self._engines: dict[int, StartedEngine] = {}
        self._idle: list[tuple[float, StartedEngine]] = []
        """Idle processes with the time of their last use, the oldest first."""
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def pids(self) -> set[int]:
        return set(self._engines)

    async def ask(self, asked: Mapping[str, object], pcm: bytes) -> dict[str, Any]:
        """Return the answer of a process that is ready, or of a new one. Raises VoiceError."""
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await self._places.acquire()
        except TimeoutError as exc:
            text = f"all {self._limits.most} processes of speech recognition are in use"
            raise VoiceError(text, next_step="say it again") from exc
        return await self._in_place(self._answer(asked, pcm))

    async def warm_up(self) -> None:
        """Start a process if none is ready."""
        await self._places.acquire()
        await self._in_place(self._ready())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for engine in list(self._engines.values()):
            await self._end(engine)
        self._idle.clear()

    async def _in_place(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work that has a place, and free the place at its end.

        If the caller is cancelled, the work continues: the process hears to the end, and is kept.
        """
        task = self._create_task(work)
        task.add_done_callback(lambda _: self._places.release())
        return await asyncio.shield(task)

    def _create_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name="voice: recognition")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # The caller may be gone, and asyncio would log an error that no one has read.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _answer(self, asked: Mapping[str, object], pcm: bytes) -> dict[str, Any]:
        engine = await self._take_engine()
        try:
            answer = await _exchange(engine, asked, pcm, self._limits.answer_s)
        except BaseException:
            await self._end(engine)
            raise
        self._keep(engine)
        return answer

    async def _ready(self) -> None:
        self._keep(await self._take_engine())

    async def _take_engine(self) -> StartedEngine:
        """Return a process that is ready, or a new one. They are started one after another."""
        engine = await self._take_idle()
        if engine is not None:
            return engine
        async with self._starting:
            return await self._take_idle() or await self._start()

    async def _take_idle(self) -> StartedEngine | None:
        """Return the idle process that was used last, or None. Ended ones are removed."""
        while self._idle:
            _, engine = self._idle.pop()
            if engine.process.returncode is None:
                return engine
            await self._end(engine)
        return None

    async def _start(self) -> StartedEngine:
        """Start a process and send its setup. Raises VoiceError."""
        setup, needs = await asyncio.to_thread(self._prepare)
        needs = replace(needs, readable=[*await asyncio.to_thread(_python_files), *needs.readable])
        # The host's own path is not used, because a home may be on it.
        path = os.pathsep.join(map(str, (_PACKAGE.parent, *_installed_packages())))
        environment = {"PATH": "", "PYTHONPATH": path, "LC_ALL": "C.UTF-8"}
        try:
            engine = await start_engine(self._program, needs, environment)
        except OSError as exc:
            raise VoiceError(f"speech recognition does not start: {exc}") from exc
        self._engines[engine.process.pid] = engine
        try:
            await _exchange(engine, setup, b"", START_S)
        except BaseException:
            await self._end(engine)
            raise
        return engine

    def _keep(self, engine: StartedEngine) -> None:
        self._idle.append((time.monotonic(), engine))
        asyncio.get_running_loop().call_later(self._limits.idle_s, self._end_spare)

    def _end_spare(self) -> None:
        """End the process that was idle longest, if it is not one of those to keep and was idle for `idle_s`."""
        if len(self._idle) <= self._limits.spare_count:
            return
        since_s, engine = self._idle[0]
        if time.monotonic() - since_s >= self._limits.idle_s:
            del self._idle[0]
            self._create_task(self._end(engine))

    async def _end(self, engine: StartedEngine) -> None:
        await engine.end()
        self._engines.pop(engine.process.pid, None)


async def _exchange(engine: StartedEngine, asked: Mapping[str, object], pcm: bytes, answer_s: float) -> dict[str, Any]:
    """Send a question and return its answer. After a VoiceError the process cannot be used any more."""
    stdin = engine.process.stdin
    stdout = engine.process.stdout
    assert stdin is not None
    assert stdout is not None
    try:
        async with asyncio.timeout(answer_s):
            stdin.write(question(asked, pcm))
            await stdin.drain()
            (size,) = ANSWER.unpack(await stdout.readexactly(ANSWER.size))
            if size > MAX_ANSWER_BYTES:
                raise VoiceError(f"the process of speech recognition answers with {size:,} bytes")
            return decode_json(await stdout.readexactly(size), dict[str, Any])
    except TimeoutError as exc:
        raise VoiceError(f"speech recognition did not answer within {answer_s:g} s") from exc
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise VoiceError(f"the process of speech recognition sent an invalid answer: {exc}") from exc
    except (OSError, RuntimeError, asyncio.IncompleteReadError) as exc:
        # uvloop raises RuntimeError for a closed pipe.
        raise VoiceError("the process of speech recognition ended") from exc


def _python_files() -> list[Path]:
    """Return the files that a worker in Python reads: this interpreter, its installed packages, and microclaw."""
    interpreter = [*installation(Path(sys.executable)), *installation(Path(sys.base_prefix, "bin", "python3"))]
    # Python lists the folder above the package, so that one is readable if it holds nothing else.
    package = _PACKAGE if holds_others_files(_PACKAGE.parent) else _PACKAGE.parent
    return [*interpreter, *_installed_packages(), package]


def _installed_packages() -> list[Path]:
    folders = [Path(entry) for entry in sys.path]
    return [folder for folder in folders if folder.name in _MODULES and folder.is_dir()]
