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

from microclaw.errors import BuildError, Diagnostic
from microclaw.programs.builds.confinement import MEMORY_LIMIT_BYTES, ConfinedProcess, start_confined
from microclaw.readiness import is_readable
from microclaw.text import code_lines

T = TypeVar("T")
_End: TypeAlias = Literal["own", "time", "words"]

TIME_LIMIT_S: Final = 20.0
OUTPUT_LIMIT_BYTES: Final = 256 << 10
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class ProcessResult(Struct, frozen=True):
    """The end of a process. `returncode` is negative for a signal.

    It was killed if it `timed_out`, or `stopped_at_words`: it printed the words of `stop_at`.
    """

    returncode: int
    output: str
    timed_out: bool
    took_ms: float
    stopped_at_words: bool = False


class Processes:
    """The processes of one build, which run from a worker thread; `stop` may be called from any other thread."""

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
        started_s = time.perf_counter()
        with self._lock:
            self.check_not_cancelled()
            self._running = processes = []
            for command, directory in commands:
                processes.append(start_confined(command, directory))
        results = []
        for confined in processes:
            output, end = _wait(confined, started_s + time_limit_s, stop_at)
            result = ProcessResult(
                returncode=confined.process.returncode,
                output=output.decode(errors="replace"),
                timed_out=end == "time",
                took_ms=(time.perf_counter() - started_s) * 1e3,
                stopped_at_words=end == "words",
            )
            results.append(result)
        return results

    def check_not_cancelled(self) -> None:
        """Raise BuildCancelled if the build was cancelled."""
        if self._stopped:
            raise BuildCancelled

    def stop(self) -> None:
        """Kill the running processes, and let no other one start."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                if process.process.returncode is None:
                    process.kill()


def check_name(name: str) -> None:
    """Raise BuildError for an invalid name of a program."""
    if not _NAME.fullmatch(name):
        problem = f"invalid program name {name!r}: letters, digits, _ . - only, at most 64"
        hint = "give it another name, or rename the file"
        raise BuildError((Diagnostic("error", problem, "name", hint=hint),), stage="options")


class BuildCancelled(Exception):
    """The build was cancelled; raised in its worker thread only."""


async def run_in_worker(build: Callable[[Processes], T]) -> T:
    """Run a build in a worker thread, however many processes it starts. Cancelling kills them."""
    processes = Processes()
    try:
        return await asyncio.to_thread(build, processes)
    finally:
        # In a thread, because an engine may take some time to end a container.
        await asyncio.shield(asyncio.to_thread(processes.stop))


def _wait(confined: ConfinedProcess, deadline: float, stop_at: bytes | None) -> tuple[bytes, _End]:
    """Collect output until the process ends, prints `stop_at` or reaches the deadline (perf_counter); kill children."""
    pipe = confined.process.stdout
    assert pipe is not None
    with pipe:
        output, end = _drain(pipe, deadline, stop_at)
    if end == "own" and not _ends(confined.process, deadline):
        end = "time"
    confined.end()
    return output, end


def _ends(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Wait for a process that closed its output. Return False if it does not end in time.

    Popen.wait with a time limit would sleep for milliseconds between looks.
    """
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
    """Return the error of a process that failed, also if it was killed before it printed anything."""
    own = _own_diagnostic(finished, diagnostics, file)
    if own is not None:
        diagnostics = (own, *diagnostics)
    return BuildError(diagnostics, stage=stage)


def _own_diagnostic(result: ProcessResult, diagnostics: tuple[Diagnostic, ...], file: str) -> Diagnostic | None:
    """Return our explanation of a failure, or None if the compiler's diagnostics have an error."""
    if _NO_MEMORY.search(result.output):
        text = f"the compiler needed more than {MEMORY_LIMIT_BYTES >> 20} MB"
        return Diagnostic("error", text, file, hint="make the program's tables and macros smaller")
    if result.timed_out:
        text = f"the compiler was stopped after {result.took_ms / 1e3:.0f} s"
        return Diagnostic("error", text, file, hint=_SIMPLER)
    if result.returncode < 0 and not result.stopped_at_words:
        text = "the compiler was stopped because it took too much memory or disk"
        return Diagnostic("error", text, file, hint=_SIMPLER)
    if "PLEASE submit a bug report" in result.output or "diagnostic msg:" in result.output:
        return Diagnostic("error", "the compiler itself broke down on this program", file, hint=_SIMPLER)
    if any(diagnostic.severity == "error" for diagnostic in diagnostics):
        return None
    lines = [line for line in code_lines(result.output) if line]
    last_lines = "; ".join(lines[-3:]) or f"it ended with code {result.returncode}"
    return Diagnostic("error", f"the compiler failed: {last_lines}", file)
