"""The processes of a recognizer (engine_process.py): starts, feeds, replaces and ends them. It knows no engine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from microclaw.errors import MicroclawError, VoiceError
from microclaw.voice.engines.engine import RATE_HZ, Recognition, Transcript
from microclaw.voice.engines.engine_process import Decide, EngineProcess, Preparation

START_S: Final = 30.0
ANSWER_S: Final = 12.0
ABANDON_S: Final = 2.0
IDLE_S: Final = 300.0
WAIT_S: Final = 8.0
MAX_WAITING: Final = 32
MAX_UTTERANCE_BYTES: Final = 20 * RATE_HZ * 2
MAX_PAUSED_BYTES: Final = 8 * RATE_HZ * 2
"""If a pause is not the end everything before it is heard again, in a third of its time, while more comes."""
_log = logging.getLogger(__name__)


class PoolLimits(Struct, frozen=True):
    """At most `most` processes; `kept` of them stay ready for the next utterance, others end after `idle_s`."""

    most: int
    kept: int = 1
    idle_s: float = IDLE_S
    answer_s: float = ANSWER_S
    wait_s: float = WAIT_S
    """An utterance waits so long for another one's process; more than MAX_WAITING do not."""


class EnginePool:
    """`prepare`, which runs in a thread, says what a new process is told and may read."""

    def __init__(
        self,
        engine: str,
        program: tuple[str, ...],
        prepare: Callable[[], Preparation],
        limits: PoolLimits,
    ) -> None:
        self._engine, self._program, self._prepare, self._limits = engine, program, prepare, limits
        self._processes: set[EngineProcess] = set()
        self._idle: list[EngineProcess] = []
        self._starting: set[asyncio.Task[EngineProcess]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: deque[asyncio.Future[EngineProcess | None]] = deque()
        self._warming: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def pids(self) -> list[int]:
        return sorted(process.pid for process in self._processes)

    async def begin(
        self, asked: Mapping[str, object], on_partial: Callable[[str], None], decide: Decide
    ) -> Recognition:
        """`asked` is told to the process; `decide` reads its answer."""
        if not self._idle and self._warming is not None:
            await asyncio.wait((self._warming,))
        process = self._take()
        while process is None:
            process = await (self._freed() if self._is_full else self._started())
        try:
            process.begin(asked, on_partial, decide)
        except VoiceError:
            self.released(process, is_ready=False)
            raise
        return _PooledRecognition(self, process)

    async def warm_up(self) -> None:
        """Have a process ready; `begin` waits for one that is being made so."""
        if self._idle or self._warming is not None:
            return
        warming = self._warming = asyncio.create_task(self._warm(), name=f"voice: warm up {self._engine}")
        try:
            await warming
        finally:
            self._warming = None

    async def _warm(self) -> None:
        self._free(await self._started())

    async def settled(self) -> None:
        """Return when nothing is being started, forgotten or ended any more."""
        while waiting := [*self._starting, *self._tasks]:
            await asyncio.wait(waiting)
            await asyncio.sleep(0)

    async def close(self) -> None:
        self._is_closed = True
        while self._hand_on(None):  # `_started` says that it is closed
            pass
        for starting in self._starting:
            starting.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._starting, *self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.end() for process in tuple(self._processes)))
        self._idle.clear()

    # The processes

    @property
    def _is_full(self) -> bool:
        return len(self._processes) + len(self._starting) >= self._limits.most

    async def _freed(self) -> EngineProcess | None:
        """The process of another utterance that ends soon; None where there is room for a new one."""
        if len(self._waiting) >= MAX_WAITING:
            raise self._all_in_use()
        waiting: asyncio.Future[EngineProcess | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(self._limits.wait_s):
                return await asyncio.shield(waiting)
        except BaseException as exc:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            elif not waiting.cancelled() and (process := waiting.result()) is not None:
                self._free(process)  # it came in this moment
            waiting.cancel()
            if isinstance(exc, TimeoutError):
                raise self._all_in_use() from exc
            raise

    def _hand_on(self, process: EngineProcess | None) -> bool:
        """Give the process, or the room for one, to who has waited longest."""
        if not self._waiting:
            return False
        self._waiting.popleft().set_result(process)
        return True

    def _all_in_use(self) -> VoiceError:
        return VoiceError(
            f"all {self._limits.most} processes of speech recognition are in use", next_step="say it again"
        )

    def _take(self) -> EngineProcess | None:
        """One that is ready."""
        for broken in [one for one in self._idle if one.is_broken]:
            self._idle.remove(broken)
            self._processes.discard(broken)
            self._later(broken.end())
        return self._idle.pop() if self._idle else None

    async def _replenish(self) -> None:
        try:
            self._free(await self._started())
        except VoiceError as exc:
            _log.warning("%s: %s", self._engine, exc.message)

    async def _started(self) -> EngineProcess:
        """A new process that is ready. It goes on starting if the wait for it is cancelled, and is kept then."""
        if self._is_closed:
            raise VoiceError("speech recognition has been closed")
        if self._is_full:
            raise self._all_in_use()
        starting = asyncio.create_task(self._start(), name=f"voice: start {self._engine}")
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(self._keep_started)
            raise

    def _keep_started(self, starting: asyncio.Task[EngineProcess]) -> None:
        if not starting.cancelled() and starting.exception() is None:
            self._free(starting.result())

    async def _start(self) -> EngineProcess:
        process = EngineProcess(self._engine, await asyncio.to_thread(self._prepare), self._limits.answer_s)
        try:
            async with asyncio.timeout(START_S):
                await process.start(self._program)
        except (TimeoutError, OSError, MicroclawError) as exc:
            await process.end()
            raise VoiceError(f"speech recognition does not start: {exc or 'it is too slow'}") from exc
        except BaseException:
            await process.end()
            raise
        self._processes.add(process)
        return process

    def _free(self, process: EngineProcess) -> None:
        """A process that is ready: kept for a while, or ended where there is enough."""
        if self._is_closed or process.is_broken:
            self._later(self._drop(process))
            return
        if self._hand_on(process):
            return
        process.since_s = time.monotonic()
        self._idle.append(process)
        if len(self._idle) > self._limits.kept:
            asyncio.get_running_loop().call_later(self._limits.idle_s, self._rested, process)

    def _rested(self, process: EngineProcess) -> None:
        is_spare = process in self._idle and len(self._idle) > self._limits.kept
        if is_spare and not self._is_closed and time.monotonic() - process.since_s >= self._limits.idle_s:
            self._later(self._drop(process))

    async def _drop(self, process: EngineProcess) -> None:
        if process in self._idle:
            self._idle.remove(process)
        await process.end()
        self._processes.discard(process)
        if not self._is_closed and not self._is_full:
            self._hand_on(None)

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work, name=f"voice: {self._engine} processes")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def released(self, process: EngineProcess, *, is_ready: bool) -> None:
        """The utterance is over; one that was given up has to be forgotten first."""
        if is_ready and not process.is_broken:
            self._free(process)
        else:
            self._later(self._forget(process))

    async def _forget(self, process: EngineProcess) -> None:
        try:
            async with asyncio.timeout(ABANDON_S):
                await process.forget()
        except (TimeoutError, VoiceError):
            await self._drop(process)
            if not self._is_closed and len(self._idle) < self._limits.kept:
                await self._replenish()
        else:
            self._free(process)


class _PooledRecognition:
    def __init__(self, pool: EnginePool, process: EngineProcess) -> None:
        self._pool = pool
        self._process: EngineProcess | None = process
        self._bytes = 0

    def feed(self, pcm: bytes) -> None:
        if self._process is None:
            raise VoiceError("this utterance is over")
        self._bytes += len(pcm)
        if self._bytes > MAX_UTTERANCE_BYTES:
            raise VoiceError("an utterance of more than 20 s", next_step="say less at a time")
        self._process.hear(pcm)

    def pause(self) -> None:
        if self._process is not None and self._bytes <= MAX_PAUSED_BYTES:
            self._process.pause()

    async def finish(self) -> Transcript:
        if self._process is None:
            raise VoiceError("this utterance is over")
        process = self._process
        transcript = await process.finish()
        self._process = None
        self._pool.released(process, is_ready=True)
        return transcript

    def abandon(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            self._pool.released(process, is_ready=False)
