"""Filters of system calls as the kernel's classic BPF (seccomp(2)): a call that the table does not name is refused.

The table was made by running CPython, node, sh and compilers. Left out on purpose, beside calls that need rights:
ptrace, process_vm_*, pidfd_getfd, unshare, setns, keyrings, bpf, perf_event_open, userfaultfd, io_uring, memfd_create
(memory that no limit counts), System V and POSIX queues and shared memory, inotify, fanotify, priorities of others.

A refused call fails with EPERM, as if the program had no right to it, or with ENOSYS if C libraries fall back to an
older call. Calls of another architecture end the process.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_LOAD = 0x20
_JUMP = 0x05
_JUMP_EQUAL = 0x15
_JUMP_AT_LEAST = 0x35
_AND = 0x54
_RETURN = 0x06
_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_ERRNO = 0x00050000
# in struct seccomp_data, little-endian
_NUMBER_AT = 0
_ARCHITECTURE_AT = 4
_ARGUMENTS_AT = 16
_EPERM = 1
_ENOTTY = 25
_ENOSYS = 38
_ENOTSUP = 95
_EAFNOSUPPORT = 97
_AUDIT: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32: Final = 0x40000000
_NEWER: Final = 450
"""The first number of calls from 2022 and later: C libraries fall back to an older call on ENOSYS."""
_CLONE_NEW: Final = 0x7E020080
"""CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET, _NEWTIME."""
_WHOLE: Final = 0xFFFFFFFF
_FORMAT: Final = 0xF000  # S_IFMT
_TABLE: Final = """
# files
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, preadv 295 69, pwritev 296 70,
preadv2 327 286, pwritev2 328 287, open 2 -, openat 257 56, openat2 437 437, creat 85 -, close 3 57,
close_range 436 436, lseek 8 62, dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59, fcntl 72 25, flock 73 32,
fsync 74 82, fdatasync 75 83, sync_file_range 277 84, ftruncate 77 46, truncate 76 45, fallocate 285 47,
fadvise64 221 223, readahead 187 213, sendfile 40 71, splice 275 76, tee 276 77, copy_file_range 326 285, stat 4 -,
fstat 5 80, lstat 6 -, newfstatat 262 79, statx 332 291, statfs 137 43, fstatfs 138 44, access 21 -, faccessat 269 48,
faccessat2 439 439, getdents 78 -, getdents64 217 61, getcwd 79 17, chdir 80 49, fchdir 81 50, rename 82 -,
renameat 264 38, renameat2 316 276, mkdir 83 -, mkdirat 258 34, rmdir 84 -, link 86 -, linkat 265 37, unlink 87 -,
unlinkat 263 35, symlink 88 -, symlinkat 266 36, readlink 89 -, readlinkat 267 78, umask 95 166, chmod 90 -,
fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, utime 132 -, utimes 235 -, utimensat 280 88, futimesat 261 -
# memory
brk 12 214, mmap 9 222, munmap 11 215, mremap 25 216, mprotect 10 226, madvise 28 233, mincore 27 232, msync 26 227,
mlock 149 228, munlock 150 229, pkey_alloc 330 289, pkey_free 331 290, pkey_mprotect 329 288, membarrier 324 283
# processes
fork 57 -, vfork 58 -, execve 59 221, execveat 322 281, exit 60 93, exit_group 231 94, wait4 61 260, waitid 247 95,
kill 62 129, tkill 200 130, tgkill 234 131, getpid 39 172, getppid 110 173, gettid 186 178, getpgid 121 155,
getpgrp 111 -, setpgid 109 154, getsid 124 156, setsid 112 157, getuid 102 174, geteuid 107 175, getgid 104 176,
getegid 108 177, getresuid 118 148, getresgid 120 150, getgroups 115 158, capget 125 90, getrlimit 97 163,
getrusage 98 165, getpriority 140 141, sched_yield 24 124, sched_getaffinity 204 123, sched_getparam 143 121,
sched_getscheduler 145 120, sched_get_priority_max 146 125, sched_get_priority_min 147 126, getcpu 309 168,
times 100 153, sysinfo 99 179, uname 63 160, set_tid_address 218 96, set_robust_list 273 99, get_robust_list 274 100,
rseq 334 293, futex 202 98, futex_waitv 449 449, arch_prctl 158 -, restart_syscall 219 128, getrandom 318 278
# signals, clocks
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136, rt_sigtimedwait 128 137,
rt_sigsuspend 130 133, sigaltstack 131 132, pause 34 -, alarm 37 -, getitimer 36 102, setitimer 38 103, signalfd 282 -,
signalfd4 289 74, timer_create 222 107, timer_settime 223 110, timer_gettime 224 108, timer_getoverrun 225 109,
timer_delete 226 111, timerfd_create 283 85, timerfd_settime 286 86, timerfd_gettime 287 87, nanosleep 35 101,
clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114, gettimeofday 96 169, time 201 -
# waiting
poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21,
epoll_wait 232 -, epoll_pwait 281 22, epoll_pwait2 441 441, eventfd 284 -, eventfd2 290 19
# pairs of sockets
socketpair 53 199, sendto 44 206, recvfrom 45 207, sendmsg 46 211, recvmsg 47 212, sendmmsg 307 269, recvmmsg 299 243,
shutdown 48 210, getsockopt 55 209, setsockopt 54 208, getsockname 51 204, getpeername 52 205
# networks: only for a job with the egress proxy
connect 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242
# with some arguments: the rules say which
clone 56 220, clone3 435 435, prlimit64 302 261, ioctl 16 29, prctl 157 167, personality 135 92, mknod 133 -,
mknodat 259 33, socket 41 198, setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, getxattr 191 8, lgetxattr 192 9,
fgetxattr 193 10, listxattr 194 11, llistxattr 195 12, flistxattr 196 13, removexattr 197 14, lremovexattr 198 15,
fremovexattr 199 16
"""
_NUMBERS: Final = {
    name: {"x86_64": x86, "aarch64": arm} for name, x86, arm in re.findall(r"(\w+) (\d+|-) (\d+|-)", _TABLE)
}
"""Numbers by name (Linux, syscall_64.tbl and include/uapi/asm-generic/unistd.h); "-": there is no such call."""


class _Check(Struct, frozen=True):
    """A condition on the lower 32 bits of an argument, after `mask`.

    The call fails with `error` unless the result is one of `values`; with `denies` it fails if it is one of them.
    """

    error: int
    argument: int = 0
    mask: int = _WHOLE
    values: Sequence[int] = ()
    denies: bool = False


_TERMINAL: Final = (0x5401, 0x802C542A, 0x5413, 0x540F, 0x5410, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TCGETS2, TIOCGWINSZ, TIOCGPGRP, TIOCSPGRP, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX; not TIOCSTI, TIOCLINUX."""
_PRCTL: Final = (1, 2, 3, 15, 16, 23, 29, 30, 36, 37, 38, 39, 41, 42, 0x53564D41)
"""Names, a parent's death, slack of timers, reapers, no new privileges, huge pages: nothing that hides a process."""
_STREAM = 1
_DATAGRAM = 2
_NODE: Final = (0, 0x1000, 0x8000)  # plain files and pipes
_RULES: Final[Mapping[str, Sequence[_Check]]] = {
    "clone": [_Check(_EPERM, 0, _CLONE_NEW, [0])],
    # Its flags are in memory, where a filter cannot see them.
    "clone3": [_Check(_ENOSYS)],
    # Only the limits of the caller.
    "prlimit64": [_Check(_EPERM, 0, _WHOLE, [0])],
    "ioctl": [_Check(_ENOTTY, 1, _WHOLE, _TERMINAL)],
    "prctl": [_Check(_EPERM, 0, _WHOLE, _PRCTL)],
    "personality": [_Check(_EPERM, 0, _WHOLE, [0, _WHOLE])],
    "mknod": [_Check(_EPERM, 1, _FORMAT, _NODE)],
    "mknodat": [_Check(_EPERM, 2, _FORMAT, _NODE)],
    "socketpair": [_Check(_EAFNOSUPPORT, 0, _WHOLE, [1])],
    # Extended attributes fail as in a file system without them, so that ls and cp continue.
    **{name: [_Check(_ENOTSUP)] for name in _NUMBERS if name.endswith("xattr")},
}
_SHARED_WITHOUT_FILE: Final = (0x21, 0x23)
"""MAP_ANONYMOUS with MAP_SHARED or MAP_SHARED_VALIDATE, of MAP_TYPE and MAP_ANONYMOUS (linux/mman.h)."""
_BUFFER_SIZES: Final = (7, 8, 32, 33, 73)
"""SO_SNDBUF, SO_RCVBUF, both with FORCE, SO_RESERVE_MEM (asm-generic/socket.h); at every level of options."""
_UNCOUNTED: Final[Mapping[str, Sequence[_Check]]] = {
    "mmap": [_Check(_EPERM, 3, 0x2F, _SHARED_WITHOUT_FILE, denies=True)],
    "setsockopt": [_Check(_EPERM, 2, _WHOLE, _BUFFER_SIZES, denies=True)],
    "fcntl": [_Check(_EPERM, 1, _WHOLE, [1031], denies=True)],  # F_SETPIPE_SZ
}
"""Calls for memory that the sizes of a job's processes do not show."""
_NO: Final = (_Check(_EPERM),)
_OWN_NETWORK: Final = (
    _Check(_EAFNOSUPPORT, 0, _WHOLE, [1, 2, 10]),
    _Check(_EAFNOSUPPORT, 1, 0xF, [_STREAM, _DATAGRAM]),
)
"""Unix and IP sockets, not raw ones: they reach only the sandbox's own network."""
_NETWORK: Final = ("connect", "bind", "listen", "accept", "accept4")
"""Calls that a job without the egress proxy may not make."""
_ATTRIBUTES: Final = ("chmod", "fchmod", "fchmodat", "fchmodat2", "utime", "utimes", "utimensat", "futimesat")
"""Calls that a program under Landlock may not make: Landlock does not protect modes and times of files outside."""


def job_filter(machine: str, *, network: bool) -> bytes | None:
    """Return the filter (struct sock_filter) of a job, or None if `machine` (`platform.machine()`) is not supported."""
    rules = {**_RULES, **_UNCOUNTED, "socket": _NO}
    without: Sequence[str] = _NETWORK
    if network:
        rules["socket"] = _OWN_NETWORK
        without = ()
    return _filter(machine, without, rules)


@functools.cache
def program_filter(machine: str) -> bytes | None:
    """Return the filter of compilers and speech engines, or None as `job_filter` does.

    They may not change modes, owners and times of files, nor leave their process group, which is killed as a whole.
    """
    rules = {**_RULES, "socket": _NO, "setpgid": _NO, "setsid": _NO}
    return _filter(machine, (*_NETWORK, *_ATTRIBUTES), rules)


def _filter(machine: str, without: Collection[str], rules: Mapping[str, Sequence[_Check]]) -> bytes | None:
    if machine not in _AUDIT:
        return None
    program = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        _instruction(_JUMP_EQUAL, _AUDIT[machine], 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        program += [_instruction(_JUMP_AT_LEAST, _X32, 0, 1), _instruction(_RETURN, _KILL)]
    for name, numbers in _NUMBERS.items():
        number = numbers[machine]
        if not number.isdigit() or name in without:
            continue
        part: list[bytes] = []
        for check in rules.get(name, ()):
            part += _check_instructions(check)
        part.append(_instruction(_RETURN, _ALLOW))
        program += [_instruction(_JUMP_EQUAL, int(number), 0, len(part)), *part]
    program += [_instruction(_JUMP_AT_LEAST, _NEWER, 0, 1), _error(_ENOSYS), _error(_EPERM)]
    return b"".join(program)


def _check_instructions(check: _Check) -> Iterator[bytes]:
    """Yield instructions that continue behind them if the check passes, and otherwise end the call."""
    yield _instruction(_LOAD, _ARGUMENTS_AT + 8 * check.argument)
    yield _instruction(_AND, check.mask)
    for place, value in enumerate(check.values):
        yield _instruction(_JUMP_EQUAL, value, len(check.values) - place, 0)
    if check.denies:
        yield _instruction(_JUMP, 1)
    yield _error(check.error)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _error(number: int) -> bytes:
    return _instruction(_RETURN, _ERRNO | number)
