"""What all processes of a job use together: memory, processor time, their number. It kills nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from microclaw.sandbox.usage import DiskUse, Usage

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


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
        memory += int(fields[21]) * _PAGE
    return Usage(number - 1, memory, ticks / _TICKS)  # process 1 is bubblewrap's own


def exact_memory(processes: int) -> int:
    """What they use, with each shared page counted once: slower, the kernel walks every page."""
    total = 0
    for name in os.listdir(processes):
        if name.isdigit():
            for line in _read(f"{name}/smaps_rollup", processes).splitlines():
                if line.startswith(b"Pss:"):
                    total += int(line.split()[1]) << 10
    return total


def disk_use(places: Sequence[int]) -> DiskUse:
    """Of open folders, each a file system of its own. Empty files take no room there, but the kernel's memory."""
    found = [os.fstatvfs(place) for place in places]
    return DiskUse(any(place.f_bfree == 0 for place in found), sum(place.f_files - place.f_ffree for place in found))


def _read(name: str, folder: int) -> bytes:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        try:
            return os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        return b""
