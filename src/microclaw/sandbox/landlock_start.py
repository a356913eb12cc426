"""Restricts the thread that calls it by Landlock and a filter of system calls. As a script it then becomes a program.

The script imports nothing of the project and is run by `python -I -S`, so that it costs little before each sentence of
a speech engine. It decides nothing: the rules (landlock.py) and the filter (seccomp.py) come as JSON.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import stat
import struct
import sys
from collections.abc import Sequence
from typing import Any, Final

# linux/landlock.h; the calls have the same numbers on every architecture
CREATE: Final = 444
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
_ADD, _RESTRICT, _PATH_BENEATH = 445, 446, 1
_NETWORK: Final = 0b11  # TCP: bind, connect
_SCOPES: Final = 0b11  # abstract sockets and signals
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2


def restrict(rules: Sequence[tuple[str, int]], handled: int, version: int, filtered: bytes | None) -> None:
    """Forever, for this thread and what it starts. `handled` is all that is forbidden where no rule allows it."""
    fields = struct.pack("=Q", handled)
    fields += struct.pack("=Q", _NETWORK) if version >= 4 else b""
    fields += struct.pack("=Q", _SCOPES) if version >= 6 else b""
    ruleset = _called(libc().syscall(CREATE, fields, len(fields), 0))
    try:
        for path, allowed in rules:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                is_folder = stat.S_ISDIR(os.fstat(place).st_mode)
                of_a_file = allowed if is_folder else allowed & (EXECUTE | READ_FILE | WRITE_FILE)
                _called(libc().syscall(_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", of_a_file, place), 0))
            finally:
                os.close(place)
        _called(libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _called(libc().syscall(_RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)
    if filtered is not None:
        program = _Program(len(filtered) // 8, filtered)
        _called(libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


@functools.cache
def libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _called(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _become(plan: int, command: list[str]) -> None:
    with os.fdopen(plan, "rb") as file:
        found = json.load(file)
    filtered = None if found["filter"] is None else bytes.fromhex(found["filter"])
    restrict(found["rules"], found["handled"], found["version"], filtered)
    os.execve(command[0], command, os.environ)  # noqa: S606 - the command is the settings', as a list


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
