"""Runs one job in the sandbox from its start to its end. It does not know tasks, people or policies."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

from msgspec import Struct, structs

from microclaw.errors import NoSandbox
from microclaw.host.config.settings import SandboxSettings
from microclaw.host.sandbox import wrapped_job
from microclaw.host.sandbox.bubblewrap import NEXT_STEP, START_S, bubblewrap
from microclaw.host.sandbox.container import Container, container_engine, start_container
from microclaw.host.sandbox.job import Ending, JobUsage, SandboxEnd, SandboxJob, job_user
from microclaw.host.sandbox.job_files import check_job, take_files

Serve: TypeAlias = Callable[[socket.socket], Coroutine[Any, Any, None]]
"""Serves at a listening socket until it is cancelled."""
AUTO: Final = SandboxSettings()
LOOK_S: Final = 0.02
_BLOCK: Final = 64 << 10
_log = logging.getLogger(__name__)


class Backend(Struct, frozen=True):
    """The way in which jobs are isolated here. `text` is for people; `start` blocks, and may raise NoSandbox."""

    text: str
    start: Callable[[SandboxJob, Path], wrapped_job.Wrapped | Container]


def sandbox_backend(settings: SandboxSettings = AUTO) -> Backend:
    """Return the backend that runs jobs here, after one try of it. Blocks for some milliseconds. Raises NoSandbox."""
    if settings.backend == "off":
        raise NoSandbox(
            "running code is switched off (sandbox.backend)", next_step="microclaw config set sandbox.backend --default"
        )
    reasons = []
    for name, probe in (("bubblewrap", _by_bubblewrap), ("container", partial(_by_container, settings.image))):
        if settings.backend in ("auto", name):
            try:
                return probe()
            except NoSandbox as exc:
                reasons.append(exc.message)
                step = exc.next_step if settings.backend == name else NEXT_STEP
    raise NoSandbox(f"this machine has no sandbox to run code in: {'; '.join(reasons)}", next_step=step)


@functools.cache
def _by_bubblewrap() -> Backend:
    """Return bubblewrap as the backend, tried once. Raises NoSandbox if it does not work here."""
    if bubblewrap() is None:
        raise NoSandbox("bubblewrap is not installed", next_step=NEXT_STEP)
    try:
        with closing(wrapped_job.start(SandboxJob(command=["/usr/bin/true"]))) as started:
            if started.process.wait(START_S) != 0:
                raise NoSandbox("bubblewrap cannot start a program here", next_step=NEXT_STEP)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise NoSandbox(f"bubblewrap does not work here: {problem}", next_step=NEXT_STEP) from problem
    article = "a" if wrapped_job.has_scope() else "no"
    text = f"bubblewrap, with {article} systemd scope for each job"
    return Backend(text, lambda job, _folder: wrapped_job.start(job))


def _by_container(image: str) -> Backend:
    engine = container_engine(image)
    text = f"a read-only container of {Path(engine).name} without a network"
    return Backend(text, partial(start_container, engine, image))


async def run_sandboxed(
    job: SandboxJob,
    folder: Path,
    on_output: Callable[[bytes], None],
    settings: SandboxSettings = AUTO,
    proxy: Serve | None = None,
) -> SandboxEnd:
    """Run a job to its end. `folder` is private to this job; the files that it keeps are put into `folder/"files"`.

    `on_output` is called with the output, in order, up to the limit. `proxy` is the egress proxy, which listens in the
    job's network; without it the job has no network. A cancellation kills every process of the job, and is raised when
    they are dead. Raises NoSandbox if this machine has no sandbox, TaskRefused for an invalid job.
    """
    check_job(job)
    async with _with_proxy(job, proxy) as job:
        started = await _start(job, folder, settings)
        assert started.process.stdout is not None
        run = _Run(job, started, started.process.stdout.fileno(), on_output)
        try:
            await run.until_dead()
            return await asyncio.to_thread(run.ended, folder)
        finally:
            # Another job soon gets the number of this descriptor.
            asyncio.get_running_loop().remove_reader(run.pipe)
            started.kill()
            await asyncio.shield(asyncio.to_thread(run.close))


async def _start(job: SandboxJob, folder: Path, settings: SandboxSettings) -> wrapped_job.Wrapped | Container:
    """Start the job in a thread. If this is cancelled, the job is closed once it has started."""
    starting = asyncio.ensure_future(asyncio.to_thread(lambda: sandbox_backend(settings).start(job, folder)))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(Exception):
            started = await starting
            await asyncio.to_thread(started.close)
        raise


@asynccontextmanager
async def _with_proxy(job: SandboxJob, proxy: Serve | None) -> AsyncIterator[SandboxJob]:
    """Give the job a unix socket for relay.py, and serve at the socket that relay.py sends before the job begins."""
    if proxy is None:
        yield job
        return
    loop = asyncio.get_running_loop()
    serving = list[asyncio.Task[None]]()

    def take_socket() -> None:
        loop.remove_reader(listener)
        _, descriptors, _, _ = socket.recv_fds(listener, 64, 1, socket.MSG_DONTWAIT)
        # The job of a container could send more.
        listener.close()
        if not descriptors:
            _log.warning("no free descriptor: a task's connections are refused")
        for descriptor in descriptors:
            listening = sockets.enter_context(socket.socket(fileno=descriptor))
            serving.append(loop.create_task(proxy(listening), name="proxy of a job"))

    with (
        TemporaryDirectory(prefix="microclaw-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
        # It also closes the socket of a proxy whose task ended before it began.
        ExitStack() as sockets,
    ):
        # The kernel allows only short paths.
        path = Path(folder, "proxy.sock")
        listener.bind(str(path))
        user = job_user()
        if user is not None:
            os.chown(path, user, -1)
        loop.add_reader(listener, take_socket)
        try:
            yield structs.replace(job, proxy_socket=path)
        finally:
            if listener.fileno() >= 0:
                loop.remove_reader(listener)
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)


@dataclass(slots=True)
class _Run:
    job: SandboxJob
    started: wrapped_job.Wrapped | Container
    pipe: int
    on_output: Callable[[bytes], None]
    began: float = field(default_factory=time.monotonic)
    end: SandboxEnd = field(default_factory=SandboxEnd)
    is_full: bool = False
    # A thread of its own, because other work may keep the loop's threads busy.
    watch: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "watch of a job"))
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_dead(self) -> None:
        """Pass its output on and hold it to its limits until all of its processes are dead and all output is read."""
        os.set_blocking(self.pipe, False)
        asyncio.get_running_loop().add_reader(self.pipe, self._on_output)
        await self._watch()
        await self._closed.wait()

    def close(self) -> None:
        """Stop watching, and free the resources of the job. Blocks."""
        self.watch.shutdown()
        self.started.close()

    async def _watch(self) -> None:
        """Check its use until it is dead. The pause is as long as the check took, because a job can make that slow."""
        loop = asyncio.get_running_loop()
        closed_pause_s = 0.001
        while not self.started.is_dead():
            began_s = time.monotonic()
            usage = await loop.run_in_executor(self.watch, self.started.usage, self.job.limits)
            self._check_limits(usage)
            took_s = time.monotonic() - began_s
            pause_s = max(LOOK_S, took_s)
            # A job without output ends at once, or continues without it.
            if self._closed.is_set():
                await asyncio.sleep(max(closed_pause_s, took_s))
                closed_pause_s = min(2 * closed_pause_s, LOOK_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._closed.wait()

    def ended(self, folder: Path) -> SandboxEnd:
        """Take the files out of a dead job, and return how it ended."""
        code = self.started.process.wait()
        end = self.end
        disk_bytes = self.job.limits.disk_bytes
        end.kept, end.refused = take_files(self.job.keep, self.started.folder, folder / "files", disk_bytes)
        number = _signal_number(code)
        if end.ending == "ended":
            end.ending = self._ending(code, number)
        else:
            number = number or signal.SIGKILL
        end.exit_code = -number or code
        end.reason = end.reason or self._reason(number)
        return end

    def _ending(self, code: int, number: int) -> Ending:
        """Return how a job ended that this host did not stop: its exit code, and the number of its signal or 0."""
        if number == signal.SIGXCPU:
            return "timed_out"
        if number == signal.SIGXFSZ:
            return "disk_full"
        if code != 0 and (self.is_full or self.started.usage(self.job.limits).is_full):
            return "disk_full"
        if number:
            return "killed"
        return "ended"

    def _reason(self, number: int) -> str:
        """Return why the job was ended, with the setting of the limit; empty if it ended by itself."""
        limits = self.job.limits
        match self.end.ending:
            case "timed_out":
                return f"more than {limits.wall_s:g} s (tasks.wall_s, or the limit of the request)"
            case "out_of_memory":
                return f"more than {limits.memory_bytes >> 20} MB (tasks.memory_mb, or the limit of the request)"
            case "too_much_output":
                return f"it printed more than {limits.output_bytes >> 10} KB (tasks.output_kb)"
            case "disk_full":
                size_mb = limits.disk_bytes >> 20
                return f"its files have more than {size_mb} MB (tasks.disk_mb), are too many or unreadable"
            case "killed" if number == signal.SIGKILL:
                return "by its own signal, or by the kernel for its memory (tasks.memory_mb)"
        return ""

    def _on_output(self) -> None:
        try:
            data = os.read(self.pipe, _BLOCK)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self.pipe)
            self._closed.set()
            return
        left_bytes = self.job.limits.output_bytes - self.end.output_bytes
        self.end.output_bytes += len(data)
        if left_bytes < len(data):
            self._stop("too_much_output")
        if left_bytes > 0:
            self.on_output(data[:left_bytes])

    def _check_limits(self, used: JobUsage) -> None:
        """Note the peaks, and stop the job if it uses more than a limit."""
        limits = self.job.limits
        end = self.end
        end.cpu_s = max(end.cpu_s or 0.0, used.cpu_s) or None
        end.memory_peak_bytes = max(end.memory_peak_bytes or 0, used.memory_bytes) or None
        self.is_full = self.is_full or used.is_full
        if time.monotonic() - self.began > limits.wall_s or used.cpu_s > limits.cpu_s:
            self._stop("timed_out")
        elif used.memory_bytes > limits.memory_bytes:
            self._stop("out_of_memory")
        elif used.is_over:
            self._stop("disk_full")
        elif used.processes > limits.processes:
            self._stop("killed", f"more than {limits.processes} processes and threads (tasks.processes)")

    def _stop(self, ending: Ending, reason: str = "") -> None:
        if self.end.ending == "ended":
            self.end.ending = ending
            self.end.reason = reason
        self.started.kill()


def _signal_number(code: int) -> int:
    """Return the signal that killed a process, or 0. bubblewrap ends with 128 + N for signal N, as a shell does."""
    if 128 < code < 128 + 32:
        return code - 128
    return max(0, -code)
