"""Starts host and board as users do, in a home of their own, and reads what the operating system says of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CPUCLOCK_SCHED = 2  # linux/posix-timers.h: the clock of a process is its complement, shifted, and this
_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "MICROCLAW_MODEL")


@dataclass(frozen=True, slots=True)
class Running:
    """A process that said it is ready: its ready line, how long that took, its pid."""

    facts: dict[str, Any]
    ready_s: float
    pid: int

    def rss_mb(self) -> float:
        """Resident memory of this process, in MB (10^6 bytes); Linux only."""
        return rss_mb(self.pid)

    def cpu_s(self) -> float:
        """Processor time of all its threads, user and system, by the kernel's own clock of it; Linux only."""
        return cpu_s(self.pid)

    def waited_s(self) -> float:
        """The time that its main thread was ready to run while others had its core."""
        return waited_s(self.pid)

    def pin(self, core: int) -> None:
        """All its threads run on this core from now on, and those that they start."""
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in MB (10^6 bytes); Linux only."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_s(pid: int) -> float:
    """Processor time of a process's threads, user and system, by the kernel's own clock of it; Linux only."""
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)


def waited_s(pid: int) -> float:
    """The kernel's run delay of a process's main thread, in seconds; Linux only, 0 where it is not counted."""
    schedstat = Path(f"/proc/{pid}/schedstat")
    if schedstat.exists():
        return int(schedstat.read_text().split()[1]) / 1e9
    return 0.0


@contextmanager
def running(*words: str, environ: Mapping[str, str] | None = None) -> Iterator[Running]:
    """`python -m WORDS` until the block ends; the first line it prints is its ready line."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield Running(json.loads(line), time.perf_counter() - began, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stdout.close()


@contextmanager
def private_home(**more: str) -> Iterator[dict[str, str]]:
    """An environment with an empty MICROCLAW_HOME and no model key but those in `more`."""
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as home:
        environ = {k: v for k, v in os.environ.items() if k not in _KEYS}
        yield {**environ, "MICROCLAW_HOME": home, **more}
