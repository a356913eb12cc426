"""Runs one job in the sandbox from its start to its end. It knows no tasks, no people and no policy."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from microclaw.errors import JobRefused, NoSandbox
from microclaw.sandbox import bubblewrap
from microclaw.sandbox.files import MAX_FILES, checked_parts, take_files
from microclaw.sandbox.job import Ending, SandboxEnd, SandboxJob
from microclaw.sandbox.watch import exact_memory, usage_of

TAIL_BYTES: Final = 64 << 10
LOOK_S: Final = 0.02
_BLOCK: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Backend:
    """What shuts jobs off on this machine; `note` is one line about it for people."""

    name: str
    note: str


def sandbox_backend() -> Backend:
    """What runs jobs here; found by trying it once. Blocks for some milliseconds. Raises NoSandbox."""
    found = _probed()
    if isinstance(found, Backend):
        return found
    raise NoSandbox(found, next_step=bubblewrap.NEXT_STEP)


@functools.cache
def _probed() -> Backend | str:
    if bubblewrap.bubblewrap() is None:
        return "there is no sandbox here to run code in: bubblewrap is not installed"
    try:
        started = bubblewrap.start(SandboxJob(command=["/usr/bin/true"]))
    except NoSandbox as problem:
        return problem.message
    try:
        if started.process.wait(bubblewrap.START_S) != 0:
            return "bubblewrap cannot start a program here"
    finally:
        started.close()
    return Backend("bubblewrap", "own namespaces, read-only system, no network")


async def run_sandboxed(job: SandboxJob, folder: Path, on_output: Callable[[bytes], None]) -> SandboxEnd:
    """Run it to its end. `folder` is empty and private to this job; kept files end up in `folder/"kept"`.

    `on_output` is called with what it prints, in order, up to the limit. Cancelling kills every process of the job and
    returns when they are dead. Raises NoSandbox where nothing shuts it off, JobRefused for a job that cannot be run.
    """
    _check(job)
    await asyncio.to_thread(sandbox_backend)
    starting = asyncio.ensure_future(asyncio.to_thread(bubblewrap.start, job))
    try:
        started = await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(Exception):
            await asyncio.to_thread((await starting).close)
        raise
    run = _Run(job, started, on_output)
    try:
        await run.until_dead()
        return await asyncio.to_thread(run.end, folder)
    finally:
        run.stop_listening()
        started.kill()
        await asyncio.shield(asyncio.to_thread(started.close))


def _check(job: SandboxJob) -> None:
    if not job.command or len(job.files) > MAX_FILES or len(job.keep) > MAX_FILES:
        raise JobRefused(f"a job has a command and at most {MAX_FILES} files", next_step="correct the job")
    for name in (*job.files, *job.keep):
        checked_parts(name)
    words = (*job.command, *job.environment, *job.environment.values())
    if any("\0" in word for word in words) or any(not name or "=" in name for name in job.environment):
        raise JobRefused("a word of the job has a zero byte, or a variable has no name", next_step="correct the job")


@dataclass(slots=True)
class _Run:
    job: SandboxJob
    started: bubblewrap.Started
    on_output: Callable[[bytes], None]
    began: float = field(default_factory=time.monotonic)
    why: Ending | None = None
    printed: int = 0
    tail: bytearray = field(default_factory=bytearray)
    cpu_s: float = 0.0
    memory_peak: int = 0
    is_full: bool = False
    _dead: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_dead(self) -> None:
        """Pass its output on and hold it to its limits until no process of it lives, and all output is read."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.started.first, self._on_death)
        os.set_blocking(self._pipe(), False)
        loop.add_reader(self._pipe(), self._on_output)
        while not self._dead.is_set():
            self._look()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._dead.wait()
        await self._closed.wait()

    def stop_listening(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.started.first)
        if not self._closed.is_set():
            loop.remove_reader(self._pipe())

    def end(self, folder: Path) -> SandboxEnd:
        """Take the files out and say how it ended; when it is dead."""
        code = self.started.process.wait()
        wall_s = time.monotonic() - self.began
        limits = self.job.limits
        kept, refused = take_files(self.job.keep, self.started.folder, folder / "kept", limits.disk_bytes)
        ending, code = self._ending(code)
        return SandboxEnd(
            ending=ending,
            exit_code=code,
            output=bytes(self.tail),
            output_bytes=self.printed,
            kept=kept,
            refused=refused,
            wall_s=wall_s,
            cpu_s=self.cpu_s,
            memory_peak_bytes=self.memory_peak,
        )

    def _ending(self, code: int) -> tuple[Ending, int]:
        """bubblewrap ends with 128 + N when a signal N killed the command, as a shell does."""
        number = code - 128 if 128 < code < 128 + 32 else -code if code < 0 else 0
        if self.why is not None:
            return self.why, -(number or signal.SIGKILL)
        if number == signal.SIGXCPU:
            return "timed_out", -number
        if number == signal.SIGXFSZ or (code != 0 and (self.is_full or self._disk_is_full())):
            return "disk_full", -number if number else code
        return ("killed", -number) if number else ("ended", code)

    def _disk_is_full(self) -> bool:
        places = (self.started.folder, self.started.temporary)
        return any(os.fstatvfs(place).f_bfree == 0 for place in places)

    def _pipe(self) -> int:
        pipe = self.started.process.stdout
        assert pipe is not None
        return pipe.fileno()

    def _on_death(self) -> None:
        asyncio.get_running_loop().remove_reader(self.started.first)
        self._dead.set()

    def _on_output(self) -> None:
        try:
            data = os.read(self._pipe(), _BLOCK)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._pipe())
            self._closed.set()
            return
        left = self.job.limits.output_bytes - self.printed
        self.printed += len(data)
        if left < len(data):
            self._stop("too_much_output")
        if left > 0:
            self.tail += data[:left]
            del self.tail[:-TAIL_BYTES]
            self.on_output(data[:left])

    def _look(self) -> None:
        limits = self.job.limits
        used = usage_of(self.started.processes)
        memory = used.memory_bytes
        if memory > limits.memory_bytes:
            memory = exact_memory(self.started.processes)
        self.cpu_s = max(self.cpu_s, used.cpu_s)
        self.memory_peak = max(self.memory_peak, memory)
        self.is_full = self.is_full or self._disk_is_full()
        if time.monotonic() - self.began > limits.wall_s or used.cpu_s > limits.cpu_s:
            self._stop("timed_out")
        elif memory > limits.memory_bytes:
            self._stop("out_of_memory")
        elif used.processes > limits.processes:
            self._stop("killed")

    def _stop(self, why: Ending) -> None:
        self.why = self.why or why
        self.started.kill()
