"""Landlock (since Linux 5.13): a process sees only the files it is given, without namespaces. For compilers and
speech engines alone.

It hides less than bubblewrap does, so that no code of the agent's runs under it. It knows none of them.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from microclaw.sandbox.bubblewrap import READ_BESIDES, SYSTEM
from microclaw.sandbox.landlock_start import CREATE, EXECUTE, READ_DIR, READ_FILE, WRITE_FILE, libc, restrict
from microclaw.sandbox.seccomp import compiler_filter

DEVICES: Final = (Path("/dev/null"), Path("/dev/zero"), Path("/dev/urandom"), Path("/dev/random"))

_VERSION_FLAG: Final = 1
_ALL_FILES: Final = (1 << 13) - 1
_SINCE: Final = ((2, 1 << 13), (3, 1 << 14), (5, 1 << 15))  # refer, truncate, ioctl of devices
_READ: Final = EXECUTE | READ_FILE | READ_DIR


def landlock_version() -> int:
    """0 where the kernel has none, or it is switched off."""
    if platform.system() != "Linux":
        return 0
    return max(0, int(libc().syscall(CREATE, None, 0, _VERSION_FLAG)))


def all_files() -> int:
    """Everything that this kernel's Landlock knows to forbid of files."""
    files = _ALL_FILES
    for version, bit in _SINCE:
        files |= bit if landlock_version() >= version else 0
    return files


def rules_for(readable: Sequence[Path], directory: Path | None) -> list[tuple[Path, int]]:
    """The rights by path: everything in `directory`, reading the system and what is `readable`."""
    read = [*SYSTEM, *READ_BESIDES, *readable]  # not /proc: others' environments are in it
    rules = [(path, _READ) for path in read] + [(path, READ_FILE | WRITE_FILE) for path in DEVICES]
    if directory is not None:
        rules.insert(0, (directory, all_files()))
    return [(path, allowed) for path, allowed in rules if path.exists()]


def start_in_landlock(
    rules: Sequence[tuple[Path, int]], start: Callable[[int], subprocess.Popen[bytes]]
) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """Start what `start` makes in a process group that it is given, and the process that holds the group's number."""
    leader = _group_leader()
    try:
        with ThreadPoolExecutor(1, "start in Landlock") as once:  # its thread keeps the rules, and ends
            return once.submit(_restricted, rules, start, leader.pid).result(), leader
    except BaseException:
        leader.wait()
        raise


def _restricted(
    rules: Sequence[tuple[Path, int]], start: Callable[[int], subprocess.Popen[bytes]], group: int
) -> subprocess.Popen[bytes]:
    """The rules are this thread's forever, and of what it starts."""
    restrict(
        [(str(path), allowed) for path, allowed in rules],
        all_files(),
        landlock_version(),
        compiler_filter(platform.machine(), group),
    )
    return start(group)


def _group_leader() -> subprocess.Popen[bytes]:
    """A process group made before the filter forbids to make one: of a process that ends, and is not waited for yet.

    A compiler in a group of its own making could let its children make theirs, and they would live on.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", ":"],
        env={},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
