"""Landlock (since Linux 5.13): a process sees only the files it is given, without namespaces. For compilers alone.

It hides less than bubblewrap does, so that no code of the agent's runs under it. It knows no compiler.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import struct
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from microclaw.sandbox.bubblewrap import READ_BESIDES, SYSTEM
from microclaw.sandbox.seccomp import compiler_filter

DEVICES: Final = (Path("/dev/null"), Path("/dev/zero"), Path("/dev/urandom"), Path("/dev/random"))

# linux/landlock.h; the calls have the same numbers on every architecture
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_ALL_FILES: Final = (1 << 13) - 1
_SINCE: Final = ((2, 1 << 13), (3, 1 << 14), (5, 1 << 15))  # refer, truncate, ioctl of devices
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_NETWORK: Final = 0b11  # TCP: bind, connect
_SCOPES: Final = 0b11  # abstract sockets and signals
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2


def landlock_version() -> int:
    """0 where the kernel has none, or it is switched off."""
    if platform.system() != "Linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE, None, 0, _VERSION_FLAG)))


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def rules_for(readable: Sequence[Path], directory: Path) -> list[tuple[Path, int]]:
    """What may be done where: everything in `directory`, reading the system and what is `readable`."""
    files = _ALL_FILES
    for version, bit in _SINCE:
        files |= bit if landlock_version() >= version else 0
    read = [*SYSTEM, *READ_BESIDES, *readable]  # not /proc: others' environments are in it
    rules = [(path, _READ) for path in read] + [(path, _READ_FILE | _WRITE_FILE) for path in DEVICES]
    return [(directory, files), *((path, allowed) for path, allowed in rules if path.exists())]


def start_in_landlock(
    rules: Sequence[tuple[Path, int]], start: Callable[[int], subprocess.Popen[bytes]]
) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """What `start` starts in a process group that it is given, and the process that keeps the group's number taken."""
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
    """The rules are this thread's for ever, and of what it starts."""
    handled = rules[0][1]
    version = landlock_version()
    fields = struct.pack("=Q", handled)
    fields += struct.pack("=Q", _NETWORK) if version >= 4 else b""
    fields += struct.pack("=Q", _SCOPES) if version >= 6 else b""
    ruleset = _called(_libc().syscall(_CREATE, fields, len(fields), 0))
    try:
        for path, allowed in rules:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                of_a_file = allowed if path.is_dir() else allowed & (_EXECUTE | _READ_FILE | _WRITE_FILE)
                rule = struct.pack("=Qi", of_a_file, place)
                _called(_libc().syscall(_ADD, ruleset, _PATH_BENEATH, rule, 0))
            finally:
                os.close(place)
        _called(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _called(_libc().syscall(_RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)
    _filter_calls(group)
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


class _Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _filter_calls(group: int) -> None:
    filtered = compiler_filter(platform.machine(), group)
    if filtered is not None:
        program = _Program(len(filtered) // 8, filtered)
        _called(_libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


def _called(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
