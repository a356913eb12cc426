"""Landlock (since Linux 5.13): a program sees only the files that it is given, without namespaces.

It hides less than bubblewrap does, so only compilers and speech engines run under it, never code of the agent.

As a script this file restricts its own process and becomes the program. It runs as `python -I -S` and imports nothing
of the project, because it starts before each sentence of a speech engine.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import platform
import stat
import struct
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
# linux/landlock.h; the calls have the same numbers on every architecture
_CREATE = 444
_ADD = 445
_RESTRICT = 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_EXECUTE = 1
_WRITE_FILE = 2
_READ_FILE = 4
_READ_DIR = 8
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE
_ALL_FILES: Final = (1 << 13) - 1
_SINCE: Final = ((2, 1 << 13), (3, 1 << 14), (5, 1 << 15))  # refer, truncate, ioctl of devices
_NETWORK: Final = 0b11  # TCP: bind, connect
_SCOPES: Final = 0b11  # abstract sockets and signals
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2


def landlock_version() -> int:
    """Return the version of the kernel's Landlock, or 0 if it has none or has it switched off."""
    if platform.system() != "Linux":
        return 0
    return max(0, int(libc().syscall(_CREATE, None, 0, _VERSION_FLAG)))


def landlock_words(
    command: Sequence[str], readable: Iterable[Path], directory: Path | None, filtered: bytes | None
) -> list[str]:
    """Return the command line of a process that restricts itself and becomes the command.

    It may read `readable` and has all rights in `directory`. It has to be the leader of its process group. `readable`
    must not have /proc, which shows the environment of other processes.
    """
    plan: dict[str, Any] = {"readable": [str(path) for path in readable], "directory": None, "filtered": None}
    if directory is not None:
        plan["directory"] = str(directory)
    if filtered is not None:
        plan["filtered"] = filtered.hex()
    return [sys.executable, "-I", "-S", __file__, json.dumps(plan), *command]


@functools.cache
def libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _restrict(readable: Sequence[str], directory: str | None, filtered: str | None) -> None:
    """Restrict this thread, and the processes that it starts, for the rest of their lives. Raises OSError."""
    version = landlock_version()
    every = _ALL_FILES
    for since, bit in _SINCE:
        if version >= since:
            every |= bit
    rules = [(path, _READ) for path in readable]
    rules += [(path, _READ_FILE | _WRITE_FILE) for path in DEVICES]
    if directory is not None:
        rules.append((directory, every))
    fields = struct.pack("=QQQ", every, _NETWORK, _SCOPES)[: _attribute_bytes(version)]
    ruleset = called(libc().syscall(_CREATE, fields, len(fields), 0))
    for path, rights in rules:
        if os.access(path, os.F_OK):
            _allow(ruleset, path, rights)
    called(libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    called(libc().syscall(_RESTRICT, ruleset, 0))
    os.close(ruleset)
    if filtered is not None:
        code = ctypes.create_string_buffer(bytes.fromhex(filtered))
        program = struct.pack("@HP", len(filtered) // 16, ctypes.addressof(code))  # struct sock_fprog
        called(libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0))


def _attribute_bytes(version: int) -> int:
    """Return how much of struct landlock_ruleset_attr a version knows: files, then network, then scopes."""
    if version >= 6:
        return 24
    if version >= 4:
        return 16
    return 8


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Add a rule for a path. Raises OSError."""
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    # The kernel refuses rights of folders for a file.
    if not stat.S_ISDIR(os.fstat(place).st_mode):
        rights &= _OF_FILES
    called(libc().syscall(_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0))
    os.close(place)


def called(result: int) -> int:
    """Return the result of a system call. Raises OSError if it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if __name__ == "__main__":
    _restrict(**json.loads(sys.argv[1]))
    os.execve(sys.argv[2], sys.argv[2:], os.environ)  # noqa: S606 - the command is the settings', as a list
