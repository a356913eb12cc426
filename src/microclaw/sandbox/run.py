"""Runs one job in the sandbox from its start to its end. It knows no tasks, no people and no policy."""

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

from microclaw.config.settings import SandboxSettings
from microclaw.errors import NoSandbox
from microclaw.sandbox import wrapped_job
from microclaw.sandbox.bubblewrap import NEXT_STEP, START_S, bubblewrap
from microclaw.sandbox.container import Container, container_engine, start_container
from microclaw.sandbox.job import Ending, SandboxEnd, SandboxJob, Usage, job_user
from microclaw.sandbox.job_files import check_job, take_files

Serve: TypeAlias = Callable[[socket.socket], Coroutine[Any, Any, None]]
"""Serves at a socket that listens, until it is cancelled."""
AUTO: Final = SandboxSettings()
LOOK_S: Final = 0.02
_BLOCK: Final = 64 << 10
_log = logging.getLogger(__name__)


class Backend(Struct, frozen=True):
    """The way in which jobs are shut off here. `text` is for people; `start` blocks, and raises NoSandbox."""

    text: str
    start: Callable[[SandboxJob, Path], wrapped_job.Wrapped | Container]


def sandbox_backend(settings: SandboxSettings = AUTO) -> Backend:
    """The backend that runs jobs here; found by trying it once. Blocks for some milliseconds. Raises NoSandbox."""
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
    raise NoSandbox(f"there is no sandbox here to run code in: {'; '.join(reasons)}", next_step=step)


@functools.cache
def _by_bubblewrap() -> Backend:
    """Tried once. Raises NoSandbox where it makes no sandbox."""
    if bubblewrap() is None:
        raise NoSandbox("bubblewrap is not installed", next_step=NEXT_STEP)
    try:
        with closing(wrapped_job.start(SandboxJob(command=["/usr/bin/true"]))) as started:
            if started.process.wait(START_S) != 0:
                raise NoSandbox("bubblewrap cannot start a program here", next_step=NEXT_STEP)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise NoSandbox(f"bubblewrap cannot be used here: {problem}", next_step=NEXT_STEP) from problem
    scope = "a" if wrapped_job.has_scope() else "no"
    return Backend(f"bubblewrap, with {scope} systemd scope for each job", lambda job, _folder: wrapped_job.start(job))


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
    """Run it to its end. `folder` is private to this job; kept files end up in `folder/"files"`.

    `on_output` is called with what it prints, in order, up to the limit. `proxy` is the egress proxy, which then
    listens in the job's network; without it there is no network. Cancelling kills every process of the job and returns
    when they are dead. Raises NoSandbox where nothing shuts it off, TaskRefused for a job that cannot be run.
    """
    check_job(job)
    async with _with_proxy(job, proxy) as job:
        starting = asyncio.ensure_future(asyncio.to_thread(lambda: sandbox_backend(settings).start(job, folder)))
        try:
            started = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(Exception):
                await asyncio.to_thread((await starting).close)
            raise
        assert started.process.stdout is not None
        run = _Run(job, started, started.process.stdout.fileno(), on_output)
        try:
            await run.until_dead()
            return await asyncio.to_thread(run.ended, folder)
        finally:
            asyncio.get_running_loop().remove_reader(run.pipe)  # its number is soon another job's
            started.kill()
            await asyncio.shield(asyncio.to_thread(run.close))


@asynccontextmanager
async def _with_proxy(job: SandboxJob, proxy: Serve | None) -> AsyncIterator[SandboxJob]:
    """The job with a unix socket of its user's for relay.py, whose first word, sent before the job begins, is taken."""
    if proxy is None:
        yield job
        return
    loop = asyncio.get_running_loop()
    serving = list[asyncio.Task[None]]()

    def take_socket() -> None:
        loop.remove_reader(listener)
        _, found, _, _ = socket.recv_fds(listener, 64, 1, socket.MSG_DONTWAIT)
        listener.close()  # of a container's job, which could send more
        if not found:
            _log.warning("no free descriptor: a task's connections are refused")
        for one in found:
            at = taken.enter_context(socket.socket(fileno=one))
            serving.append(loop.create_task(proxy(at), name="proxy of a job"))

    with (
        TemporaryDirectory(prefix="microclaw-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
        ExitStack() as taken,  # closes also the socket of a proxy that ended before it began
    ):
        path = Path(folder, "proxy.sock")  # as short as the kernel wants it
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
            for one in serving:
                one.cancel()
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
    watch: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "watch of a job"))
    """A thread of its own: others' work may fill the loop's."""
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_dead(self) -> None:
        """Pass its output on and hold it to its limits until no process of it lives, and all output is read."""
        os.set_blocking(self.pipe, False)
        asyncio.get_running_loop().add_reader(self.pipe, self._on_output)
        await self._watch()
        await self._closed.wait()

    def close(self) -> None:
        """Free what the job had, once nothing looks at it any more. Blocks."""
        self.watch.shutdown()
        self.started.close()

    async def _watch(self) -> None:
        """Look at it until it is dead. The pause is as long as a look took, which is for the job to decide."""
        loop = asyncio.get_running_loop()
        closed_pause_s = 0.001
        while not self.started.is_dead():
            looked_s = time.monotonic()
            self._look(await loop.run_in_executor(self.watch, self.started.usage, self.job.limits))
            took_s = time.monotonic() - looked_s
            pause_s = max(LOOK_S, took_s)
            if self._closed.is_set():  # it ends at once, or goes on without an output
                await asyncio.sleep(max(closed_pause_s, took_s))
                closed_pause_s = min(2 * closed_pause_s, LOOK_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._closed.wait()

    def ended(self, folder: Path) -> SandboxEnd:
        """Take the files out and say how it ended; when it is dead."""
        code = self.started.process.wait()
        limits = self.job.limits
        end = self.end
        end.kept, end.refused = take_files(self.job.keep, self.started.folder, folder / "files", limits.disk_bytes)
        # bubblewrap ends with 128 + N when a signal N killed the command, as a shell does
        if 128 < code < 128 + 32:
            number = code - 128
        else:
            number = max(0, -code)
        if end.ending != "ended":
            number = number or signal.SIGKILL
        elif number == signal.SIGXCPU:
            end.ending = "timed_out"
        elif number == signal.SIGXFSZ or (code != 0 and (self.is_full or self.started.usage(limits).is_full)):
            end.ending = "disk_full"
        elif number:
            end.ending = "killed"
            if number == signal.SIGKILL:
                end.reason = "by its own signal, or by the kernel for its memory (tasks.memory_mb)"
        end.exit_code = -number or code
        asked = "or less where less was asked for"
        end.reason = end.reason or {
            "timed_out": f"more than {limits.wall_s:g} s (tasks.wall_s, {asked})",
            "out_of_memory": f"more than {limits.memory_bytes >> 20} MB (tasks.memory_mb, {asked})",
            "too_much_output": f"it printed more than {limits.output_bytes >> 10} KB (tasks.output_kb)",
            "disk_full": f"its files have more than {limits.disk_bytes >> 20} MB (tasks.disk_mb), are too many or shut",
        }.get(end.ending, "")
        return end

    def _on_output(self) -> None:
        try:
            data = os.read(self.pipe, _BLOCK)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self.pipe)
            self._closed.set()
            return
        left = self.job.limits.output_bytes - self.end.output_bytes
        self.end.output_bytes += len(data)
        if left < len(data):
            self._stop("too_much_output")
        if left > 0:
            self.on_output(data[:left])

    def _look(self, used: Usage) -> None:
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

    def _stop(self, why: Ending, reason: str = "") -> None:
        if self.end.ending == "ended":
            self.end.ending = why
            self.end.reason = reason
        self.started.kill()
