"""Filters of system calls as the kernel's classic BPF (seccomp(2)): what system_calls.py does not name is refused.

A refused call fails with EPERM, as if the program had no right to it, or with ENOSYS where C libraries know an older
call to fall back to. Calls of another architecture end the process.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from microclaw.sandbox.system_calls import AS_THEY_ARE, ATTRIBUTES, CHECKED, EXTENDED, NETWORK

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data, little-endian
_EPERM, _ENOTTY, _ENOSYS, _ENOTSUP, _EAFNOSUPPORT = 1, 25, 38, 95, 97
_AUDIT: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32: Final = 0x40000000
_NEWER: Final = 450
"""Calls from this number on are of 2022 and later: C libraries fall back to an older one on ENOSYS."""
_CLONE_NEW: Final = 0x7E020080
"""CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET, _NEWTIME."""
_WHOLE: Final = 0xFFFFFFFF
_FORMAT: Final = 0xF000  # S_IFMT


class _Check(Struct, frozen=True):
    """The lower half of an argument, as far as `mask` goes, is one of `values`."""

    argument: int
    mask: int
    values: Sequence[int]


class _Rule(Struct, frozen=True):
    """All of the checks hold, or the call fails with `error`. Without a check it always fails.

    `denies` turns it round: the call fails where all of the checks hold.
    """

    error: int
    checks: Sequence[_Check] = ()
    denies: bool = False


_TERMINAL: Final = (0x5401, 0x802C542A, 0x5413, 0x540F, 0x5410, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TCGETS2, TIOCGWINSZ, TIOCGPGRP, TIOCSPGRP, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX; not TIOCSTI, TIOCLINUX."""
_PRCTL: Final = (1, 2, 3, 15, 16, 23, 29, 30, 36, 37, 38, 39, 41, 42, 0x53564D41)
"""Names, a parent's death, slack of timers, reapers, no new privileges, huge pages: nothing that hides."""
_STREAM, _DATAGRAM = 1, 2
_RULES: Final[Mapping[str, _Rule]] = {
    "clone": _Rule(_EPERM, [_Check(0, _CLONE_NEW, [0])]),
    "clone3": _Rule(_ENOSYS),  # its flags are in memory, where no filter sees them
    "prlimit64": _Rule(_EPERM, [_Check(0, _WHOLE, [0])]),  # its own limits
    "ioctl": _Rule(_ENOTTY, [_Check(1, _WHOLE, _TERMINAL)]),
    "prctl": _Rule(_EPERM, [_Check(0, _WHOLE, _PRCTL)]),
    "personality": _Rule(_EPERM, [_Check(0, _WHOLE, [0, _WHOLE])]),
    "mknod": _Rule(_EPERM, [_Check(1, _FORMAT, [0, 0x1000, 0x8000])]),  # plain files and pipes
    "mknodat": _Rule(_EPERM, [_Check(2, _FORMAT, [0, 0x1000, 0x8000])]),
    "socketpair": _Rule(_EAFNOSUPPORT, [_Check(0, _WHOLE, [1])]),
    **dict.fromkeys(EXTENDED, _Rule(_ENOTSUP)),  # as of a file system without them: ls and cp go on
}
_SHARED_WITHOUT_FILE: Final = (0x21, 0x23)
"""MAP_ANONYMOUS with MAP_SHARED or MAP_SHARED_VALIDATE, of MAP_TYPE and MAP_ANONYMOUS (linux/mman.h)."""
_BUFFER_SIZES: Final = (7, 8, 32, 33, 73)
"""SO_SNDBUF, SO_RCVBUF, both with FORCE, SO_RESERVE_MEM (asm-generic/socket.h)."""
_UNCOUNTED: Final[Mapping[str, _Rule]] = {
    "mmap": _Rule(_EPERM, [_Check(3, 0x2F, _SHARED_WITHOUT_FILE)], denies=True),
    "setsockopt": _Rule(_EPERM, [_Check(1, _WHOLE, [1]), _Check(2, _WHOLE, _BUFFER_SIZES)], denies=True),
    "fcntl": _Rule(_EPERM, [_Check(1, _WHOLE, [1031])], denies=True),  # F_SETPIPE_SZ
}
"""Memory that a job would hold and that its processes' sizes do not show."""
_HIDES_MEMORY: Final = 4
"""PR_SET_DUMPABLE, with which the relay takes its descriptors out of the job's reach."""
_NO: Final = _Rule(_EPERM)
_OWN_NETWORK: Final = _Rule(_EAFNOSUPPORT, [_Check(0, _WHOLE, [1, 2, 10]), _Check(1, 0xF, [_STREAM, _DATAGRAM])])
"""Unix and IP sockets, none of them raw: what they reach is the sandbox's own network."""


def job_filter(machine: str, *, network: bool) -> bytes | None:
    """The filter (struct sock_filter) of a job for `platform.machine()`; None for one that is not known here."""
    plain = {**AS_THEY_ARE, **(NETWORK if network else {})}
    rules = {**_RULES, **_UNCOUNTED, "socket": _OWN_NETWORK if network else _NO}
    if network:
        rules["prctl"] = _Rule(_EPERM, [_Check(0, _WHOLE, [*_PRCTL, _HIDES_MEMORY])])
    return _filter(machine, plain, rules)


def program_filter(machine: str) -> bytes | None:
    """The filter of compilers and speech engines: no modes, owners or times of files, and none leaves its process
    group, by whose number it is killed."""
    plain = {name: found for name, found in AS_THEY_ARE.items() if name not in ATTRIBUTES}
    return _filter(machine, plain, {**_RULES, "socket": _NO, "setpgid": _NO, "setsid": _NO})


def _filter(machine: str, plain: Mapping[str, tuple[int, int | None]], rules: Mapping[str, _Rule]) -> bytes | None:
    if machine not in _AUDIT:
        return None
    column = list(_AUDIT).index(machine)
    numbers = {name: found[column] for name, found in {**plain, **CHECKED, **EXTENDED}.items()}
    program = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        _instruction(_JUMP_EQUAL, _AUDIT[machine], 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER_AT),
        *((_instruction(_JUMP_AT_LEAST, _X32, 0, 1), _instruction(_RETURN, _KILL)) if machine == "x86_64" else ()),
    ]
    for name, number in numbers.items():
        if number is not None:
            part = list(_of_rule(rules[name])) if name in rules else [_ALLOWED]
            program += [_instruction(_JUMP_EQUAL, number, 0, len(part)), *part]
    program += [_instruction(_JUMP_AT_LEAST, _NEWER, 0, 1), _error(_ENOSYS), _error(_EPERM)]
    return b"".join(program)


def _of_rule(rule: _Rule) -> Iterator[bytes]:
    if not rule.checks:
        yield _error(rule.error)
        return
    otherwise, at_last = (_ALLOWED, _error(rule.error)) if rule.denies else (_error(rule.error), _ALLOWED)
    for check in rule.checks:
        yield _instruction(_LOAD, _ARGUMENTS_AT + 8 * check.argument)
        yield _instruction(_AND, check.mask)
        for place, value in enumerate(check.values):
            yield _instruction(_JUMP_EQUAL, value, len(check.values) - place, 0)
        yield otherwise
    yield at_last


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _error(number: int) -> bytes:
    return _instruction(_RETURN, _ERRNO | number)


_ALLOWED: Final = _instruction(_RETURN, _ALLOW)
