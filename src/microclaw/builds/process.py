"""Runs compiler processes in a private directory, with limits for time, memory and output. Knows no language."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final, Literal, TypeAlias, TypeVar

from msgspec import Struct

from microclaw.builds.confinement import MEMORY_LIMIT_BYTES, ConfinedProcess, start_confined
from microclaw.errors import BuildError, Diagnostic
from microclaw.readiness import is_readable
from microclaw.text import code_lines

T = TypeVar("T")
_End: TypeAlias = Literal["own", "time", "words"]

TIME_LIMIT_S: Final = 20.0
OUTPUT_LIMIT_BYTES: Final = 256 << 10
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class ProcessResult(Struct, frozen=True):
    """The end of a process. `returncode` is negative for a signal; `timed_out`: it was killed because its time was up.

    `stopped_at_words`: it was killed because it printed the words of `stop_at`.
    """

    returncode: int
    output: str
    timed_out: bool
    took_ms: float
    stopped_at_words: bool = False


class Processes:
    """Runs the processes of one build from a worker thread; `stop` may be called from any other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[ConfinedProcess] = []
        self._stopped = False

    def run(self, command: Sequence[str], directory: Path, *, time_limit_s: float = TIME_LIMIT_S) -> ProcessResult:
        """Run a command. It is killed with its process group when time is up."""
        return self.run_together([(command, directory)], time_limit_s=time_limit_s)[0]

    def run_together(
        self,
        commands: Sequence[tuple[Sequence[str], Path]],
        *,
        time_limit_s: float = TIME_LIMIT_S,
        stop_at: bytes | None = None,
    ) -> list[ProcessResult]:
        """Run commands side by side, each in its directory and as by `run`, or until it printed `stop_at`."""
        started = time.perf_counter()
        with self._lock:
            self.check_not_cancelled()
            self._running = processes = []
            for command, directory in commands:
                processes.append(start_confined(command, directory))
        finished = []
        for process in processes:
            output, end = _wait(process, started + time_limit_s, stop_at)
            took_ms = (time.perf_counter() - started) * 1e3
            text = output.decode(errors="replace")
            finished.append(ProcessResult(process.process.returncode, text, end == "time", took_ms, end == "words"))
        return finished

    def check_not_cancelled(self) -> None:
        """Raise BuildCancelled if the build was cancelled."""
        if self._stopped:
            raise BuildCancelled

    def stop(self) -> None:
        """Kill what runs and let nothing more begin."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                if process.process.returncode is None:
                    process.kill()


def check_name(name: str) -> None:
    """Raise BuildError for what is no name of a program."""
    if not _NAME.fullmatch(name):
        problem = f"{name!r} is no name for a program: letters, digits, _ . - only, at most 64"
        hint = "give it another name, or rename the file"
        raise BuildError((Diagnostic("error", problem, "name", hint=hint),), stage="options")


class BuildCancelled(Exception):
    """The build was cancelled; raised in its worker thread only."""


async def in_worker(build: Callable[[Processes], T]) -> T:
    """Run a build in a worker thread, however many processes it starts. Cancelling kills them."""
    processes = Processes()
    try:
        return await asyncio.to_thread(build, processes)
    finally:  # an engine may take its time to end a container
        await asyncio.shield(asyncio.to_thread(processes.stop))


def _wait(confined: ConfinedProcess, deadline: float, stop_at: bytes | None) -> tuple[bytes, _End]:
    """Collect output until the process ends, says `stop_at` or the deadline (perf_counter) passes. Nothing lives on."""
    pipe = confined.process.stdout
    assert pipe is not None
    with pipe:
        output, end = _drain(pipe, deadline, stop_at)
    if end == "own" and not _ends(confined.process, deadline):
        end = "time"
    confined.end()
    return output, end


def _ends(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Wait for a process that closed its output; Popen.wait with a time limit sleeps for milliseconds between looks."""
    remaining = max(0.0, deadline - time.perf_counter())
    if not hasattr(os, "pidfd_open"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(remaining)
        return process.returncode is not None
    descriptor = os.pidfd_open(process.pid)
    try:
        return is_readable(descriptor, remaining)
    finally:
        os.close(descriptor)


def _drain(pipe: IO[bytes], deadline: float, stop_at: bytes | None) -> tuple[bytes, _End]:
    output = bytearray()
    while (remaining := deadline - time.perf_counter()) > 0:
        if not is_readable(pipe, remaining):
            break
        data = os.read(pipe.fileno(), 65536)
        if not data:
            return bytes(output), "own"
        start = max(0, len(output) - len(stop_at or b""))
        output += data[: OUTPUT_LIMIT_BYTES - len(output)]
        if stop_at is not None and stop_at in output[start:]:
            return bytes(output), "words"
    return bytes(output), "time"


_SIMPLER: Final = "make the program simpler and its arrays smaller"
_NO_MEMORY: Final = re.compile(r"^(LLVM ERROR: out of memory|terminate called .*std::bad_alloc)", re.MULTILINE)


def build_failure(finished: ProcessResult, diagnostics: tuple[Diagnostic, ...], file: str, stage: str) -> BuildError:
    """The error of a process that failed, also of one that was killed before it printed anything."""
    if _NO_MEMORY.search(finished.output):
        needed = f"the compiler needed more than {MEMORY_LIMIT_BYTES >> 20} MB"
        hint = "make the program's tables and macros smaller"
        return BuildError((Diagnostic("error", needed, file, hint=hint), *diagnostics), stage=stage)
    if finished.timed_out or (finished.returncode < 0 and not finished.stopped_at_words):
        if finished.timed_out:
            why = f"after {finished.took_ms / 1e3:.0f} s"
        else:
            why = "because it took too much memory or disk"
        stopped = Diagnostic("error", f"the compiler was stopped {why}", file, hint=_SIMPLER)
        return BuildError((stopped, *diagnostics), stage=stage)
    if "PLEASE submit a bug report" in finished.output or "diagnostic msg:" in finished.output:
        broke = Diagnostic("error", "the compiler itself broke down on this program", file, hint=_SIMPLER)
        return BuildError((broke, *diagnostics), stage=stage)
    if not any(d.severity == "error" for d in diagnostics):
        lines = [line for line in code_lines(finished.output) if line][-3:]
        last_words = "; ".join(lines) or f"it ended with code {finished.returncode}"
        diagnostics = (Diagnostic("error", f"the compiler failed: {last_words}", file), *diagnostics)
    return BuildError(diagnostics, stage=stage)
