"""The use of memory, processor time and disk by all processes of a job, and a running job of any backend."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_NOT_RESIDENT: Final = (b"VmPTE:", b"VmSwap:", b"HugetlbPages:")
"""Of /proc/PID/status: what a process holds and its resident size leaves out. Page tables can be of any size."""


class Usage(Struct, frozen=True):
    """Of all its processes together; None where the backend holds the job to that limit itself."""

    processes: int | None = None
    memory_bytes: int | None = None
    cpu_s: float | None = None
    out_of_memory: bool = False
    """True if the kernel killed one of them for that."""


class DiskUse(Struct, frozen=True):
    is_full: bool
    files: int


class Started(Protocol):
    """A job that runs. Its output and errors are one pipe of `process`."""

    @property
    def process(self) -> subprocess.Popen[bytes]: ...
    @property
    def folder(self) -> int:
        """Its folder, open."""

    @property
    def must_not_be_full(self) -> bool:
        """True if nothing but killing it keeps its files within their limit."""

    def on_death(self, loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> Callable[[], None]:
        """Have `then` called on the loop, once, when no process of it lives; what it returns takes that back."""

    def usage(self, memory_limit: int) -> Usage:
        """Exact from `memory_limit` on."""

    def disk(self) -> DiskUse: ...
    def ran_out_of_memory(self) -> bool:
        """True if the backend killed it for that; to be asked when it is dead."""

    def kill(self) -> None:
        """Every process of it; does not wait, and may be called again."""

    def close(self) -> None:
        """Kill it if it lives, wait until it is dead, and free what it had. Blocks."""


def usage_of(processes: int) -> Usage:
    """Of every process that the open folder (a /proc) lists. One that ends meanwhile is not counted.

    A page that processes share counts for each of them: see exact_memory.
    """
    number = memory = ticks = 0
    for name in os.listdir(processes):
        if not name.isdigit():
            continue
        fields = _read(f"{name}/stat", processes).rpartition(b")")[2].split()
        if len(fields) < 22:
            continue
        number += 1
        ticks += sum(int(field) for field in fields[11:15])  # utime, stime, and those of children that ended
        memory += int(fields[21]) * _PAGE + _kib_of(f"{name}/status", _NOT_RESIDENT, processes)
    return Usage(number - 1, memory, ticks / _TICKS)  # process 1 is bubblewrap's own


def exact_memory(processes: int) -> int:
    """The memory of all processes, with each shared page counted once: slower, the kernel walks every page.

    Of a program that nobody may read, such as the relay, shared pages count in full.
    """
    total = 0
    for name in os.listdir(processes):
        if name.isdigit():
            total += _kib_of(f"{name}/status", _NOT_RESIDENT, processes)
            try:
                total += _kib_of(f"{name}/smaps_rollup", (b"Pss:",), processes)
            except PermissionError:
                total += _kib_of(f"{name}/status", (b"VmRSS:",), processes)
    return total


def disk_use(places: Sequence[int]) -> DiskUse:
    """Of open folders, each a file system of its own. Empty files take no room there, but the kernel's memory."""
    found = [os.fstatvfs(place) for place in places]
    return DiskUse(any(place.f_bfree == 0 for place in found), sum(place.f_files - place.f_ffree for place in found))


def _kib_of(name: str, fields: Sequence[bytes], folder: int) -> int:
    """The sum of these lines of a file of /proc, in bytes."""
    lines = (line.split() for line in _read(name, folder).splitlines())
    return sum(int(words[1]) << 10 for words in lines if words and words[0] in fields)


def _read(name: str, folder: int) -> bytes:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        try:
            return os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        return b""
