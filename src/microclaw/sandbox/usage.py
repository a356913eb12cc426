"""The use of memory, processor time and disk by all processes of a job, read from its own /proc and file systems."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

from microclaw.sandbox.job import DiskUse, Usage

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_NOT_RESIDENT: Final = (b"VmPTE:", b"VmSwap:", b"HugetlbPages:")
"""Of /proc/PID/status: what a process holds and its resident size leaves out. Page tables can be of any size."""


def usage_of(processes: int, memory_limit: int) -> Usage:
    """Of every process that the open folder (a /proc) lists. One that ends meanwhile is not counted.

    A page that processes share counts for each of them until `memory_limit` is passed, and then once.
    """
    number = memory = ticks = 0
    for name in _numbers(processes):
        fields = _read(f"{name}/stat", processes).rpartition(b")")[2].split()
        if len(fields) >= 22:
            number += 1
            ticks += sum(int(field) for field in fields[11:15])  # utime, stime, and those of children that ended
            memory += int(fields[21]) * _PAGE + _kib_of(f"{name}/status", _NOT_RESIDENT, processes)
    if memory > memory_limit:
        memory = _exact_memory(processes)
    return Usage(number - 1, memory, ticks / _TICKS)  # process 1 is bubblewrap's own


def _exact_memory(processes: int) -> int:
    """Slower: the kernel walks every page. Of a program that nobody may read, as the relay, all pages count in full."""
    total = 0
    for name in _numbers(processes):
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


def _numbers(processes: int) -> Iterator[str]:
    return filter(str.isdigit, os.listdir(processes))


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
