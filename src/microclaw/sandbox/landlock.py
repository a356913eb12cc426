"""Landlock (since Linux 5.13): a program sees only the files it is given, without namespaces. For compilers and speech
engines alone: it hides less than bubblewrap does, so that no code of the agent's runs under it.

As a script this file restricts its own process and becomes the program. It is run by `python -I -S`, so that it costs
little before each sentence of a speech engine, and imports nothing of the project.
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
    """0 where the kernel has none, or it is switched off."""
    if platform.system() != "Linux":
        return 0
    return max(0, int(libc().syscall(_CREATE, None, 0, _VERSION_FLAG)))


def landlock_words(
    command: Sequence[str], readable: Iterable[Path], directory: Path | None, filtered: bytes | None
) -> list[str]:
    """The words of a process that restricts itself and becomes the command: it reads what is `readable`, and has all
    rights in `directory`. It has to be the leader of its process group."""
    plan = {
        "readable": [str(path) for path in readable],  # not /proc: others' environments are in it
        "directory": None if directory is None else str(directory),
        "filtered": None if filtered is None else filtered.hex(),
    }
    return [sys.executable, "-I", "-S", __file__, json.dumps(plan), *command]


@functools.cache
def libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _restrict(readable: Sequence[str], directory: str | None, filtered: str | None) -> None:
    """Forever, for this thread and what it starts."""
    version = landlock_version()
    every = _ALL_FILES
    for since, bit in _SINCE:
        every |= bit if version >= since else 0
    rules = [*((path, _READ) for path in readable), *((path, _READ_FILE | _WRITE_FILE) for path in DEVICES)]
    if directory is not None:
        rules.append((directory, every))
    fields = struct.pack("=QQQ", every, _NETWORK, _SCOPES)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = called(libc().syscall(_CREATE, fields, len(fields), 0))
    for path, allowed in rules:
        if os.access(path, os.F_OK):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            if stat.S_ISDIR(os.fstat(place).st_mode):
                possible = allowed
            else:
                possible = allowed & _OF_FILES
            called(libc().syscall(_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", possible, place), 0))
            os.close(place)
    called(libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    called(libc().syscall(_RESTRICT, ruleset, 0))
    os.close(ruleset)
    if filtered is not None:
        code = ctypes.create_string_buffer(bytes.fromhex(filtered))
        program = struct.pack("@HP", len(filtered) // 16, ctypes.addressof(code))  # struct sock_fprog
        called(libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0))


def called(result: int) -> int:
    """The result of a system call. Raises OSError."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if __name__ == "__main__":
    _restrict(**json.loads(sys.argv[1]))
    os.execve(sys.argv[2], sys.argv[2:], os.environ)  # noqa: S606 - the command is the settings', as a list
