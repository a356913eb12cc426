"""A filter of system calls for compilers, as the kernel's classic BPF (seccomp(2)): no socket, no way out.

A compiler reads and writes files. Landlock, alone, would let it change the mode, owner and times of every file and the
priority and limits of every process of its user. What it is denied here fails with EPERM, as if it had no
right to it; another architecture's calls end the process. Numbers: Linux, arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT, _SECOND_ARGUMENT_AT = 0, 4, 16, 24  # in struct seccomp_data
_EPERM, _ENOSYS = 1, 38
_X32: Final = 0x40000000
_CLONE_NEW: Final = 0x7E020000
"""CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET."""


@dataclass(frozen=True, slots=True)
class _Architecture:
    audit: int
    denied: Mapping[str, int]
    clone: int
    prlimit64: int
    setsid: int
    setpgid: int
    clone3: int = 435


_COMMON: Final = {
    "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "pidfd_getfd": 438,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_open": 434, "process_madvise": 440, "mount_setattr": 442,
    "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466,
}  # fmt: skip
_X86_64: Final = _Architecture(
    0xC000003E,
    {
        "socket": 41, "ptrace": 101, "pivot_root": 155, "chroot": 161, "acct": 163, "mount": 165, "umount2": 166,
        "swapon": 167, "reboot": 169, "init_module": 175, "kexec_load": 246, "add_key": 248, "request_key": 249,
        "keyctl": 250, "unshare": 272, "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308,
        "process_vm_readv": 310, "process_vm_writev": 311, "finit_module": 313, "bpf": 321, "userfaultfd": 323,
        "chmod": 90, "fchmod": 91, "fchmodat": 268, "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260,
        "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198,
        "fremovexattr": 199, "utime": 132, "utimes": 235, "futimesat": 261, "utimensat": 280,
        "setpriority": 141, "ioprio_set": 251, "sched_setparam": 142, "sched_setscheduler": 144,
        "sched_setaffinity": 203, "sched_setattr": 314, "migrate_pages": 256, "move_pages": 279,
        "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "semtimedop": 220,
        "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "mq_open": 240, "mq_unlink": 241,
        "fanotify_init": 300, "inotify_init": 253, "inotify_init1": 294, "kcmp": 312,
        "iopl": 172, "ioperm": 173, "modify_ldt": 154, "quotactl": 179, "syslog": 103,
        "settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305,
        "sethostname": 170, "setdomainname": 171, "delete_module": 176, "swapoff": 168, "kexec_file_load": 320,
        "name_to_handle_at": 303, "vhangup": 153,
        **_COMMON,
    },
    clone=56,
    prlimit64=302,
    setsid=112,
    setpgid=109,
)  # fmt: skip
_AARCH64: Final = _Architecture(
    0xC00000B7,
    {
        "socket": 198, "ptrace": 117, "pivot_root": 41, "chroot": 51, "acct": 89, "mount": 40, "umount2": 39,
        "swapon": 224, "reboot": 142, "init_module": 105, "kexec_load": 104, "add_key": 217, "request_key": 218,
        "keyctl": 219, "unshare": 97, "perf_event_open": 241, "open_by_handle_at": 265, "setns": 268,
        "process_vm_readv": 270, "process_vm_writev": 271, "finit_module": 273, "bpf": 280, "userfaultfd": 282,
        "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55,
        "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
        "utimensat": 88, "setpriority": 140, "ioprio_set": 30, "sched_setparam": 118, "sched_setscheduler": 119,
        "sched_setaffinity": 122, "sched_setattr": 274, "migrate_pages": 238, "move_pages": 239,
        "shmget": 194, "shmctl": 195, "shmat": 196, "semget": 190, "semctl": 191, "semtimedop": 192, "semop": 193,
        "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189, "mq_open": 180, "mq_unlink": 181,
        "fanotify_init": 262, "inotify_init1": 26, "kcmp": 272, "quotactl": 60, "syslog": 116,
        "settimeofday": 170, "clock_settime": 112, "adjtimex": 171, "clock_adjtime": 266,
        "sethostname": 161, "setdomainname": 162, "delete_module": 106, "swapoff": 225, "kexec_file_load": 294,
        "name_to_handle_at": 264, "vhangup": 58,
        **_COMMON,
    },
    clone=220,
    prlimit64=261,
    setsid=157,
    setpgid=154,
)  # fmt: skip
_ARCHITECTURES: Final = {"x86_64": _X86_64, "aarch64": _AARCH64}


def compiler_filter(machine: str, group: int | None = None) -> bytes | None:
    """The filter's instructions (struct sock_filter) for `platform.machine()`; None for one that is not known here.

    With `group` a process can join that process group, and leave it for no other.
    """
    found = _ARCHITECTURES.get(machine)
    if found is None:
        return None
    denied = sorted(found.denied.values())
    program = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        _instruction(_JUMP_EQUAL, found.audit, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER_AT),
        *((_instruction(_JUMP_AT_LEAST, _X32, 0, 1), _instruction(_RETURN, _KILL)) if machine == "x86_64" else ()),
        # clone3 has its flags in memory, where no filter sees them: the C library falls back to clone
        _instruction(_JUMP_EQUAL, found.clone3, 0, 1),
        _instruction(_RETURN, _ERRNO | _ENOSYS),
        *(part for number in denied for part in (_instruction(_JUMP_EQUAL, number, 0, 1), _DENY)),
        # a process may change its own limits: these come by the number 0, which is its own
        _instruction(_JUMP_EQUAL, found.prlimit64, 0, 4),
        _instruction(_LOAD, _FIRST_ARGUMENT_AT),
        _instruction(_JUMP_EQUAL, 0, 0, 1),
        _ALLOWED,
        _DENY,
        *(_stay_in_group(found, group) if group is not None else ()),
        _instruction(_JUMP_EQUAL, found.clone, 0, 3),
        _instruction(_LOAD, _FIRST_ARGUMENT_AT),
        _instruction(_JUMP_BITS, _CLONE_NEW, 0, 1),
        _DENY,
        _ALLOWED,
    ]
    return b"".join(program)


def _stay_in_group(found: _Architecture, group: int) -> list[bytes]:
    """setpgid(0, group), with which Popen begins, and no other way to another group. Numbers have 32 bits."""
    return [
        _instruction(_JUMP_EQUAL, found.setsid, 0, 1),
        _DENY,
        _instruction(_JUMP_EQUAL, found.setpgid, 0, 6),
        _instruction(_LOAD, _FIRST_ARGUMENT_AT),
        _instruction(_JUMP_EQUAL, 0, 0, 3),
        _instruction(_LOAD, _SECOND_ARGUMENT_AT),
        _instruction(_JUMP_EQUAL, group, 0, 1),
        _ALLOWED,
        _DENY,
    ]


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


_ALLOWED: Final = _instruction(_RETURN, _ALLOW)
_DENY: Final = _instruction(_RETURN, _ERRNO | _EPERM)


def job_filter(machine: str, *, network: bool) -> bytes:
    return compiler_filter(machine) or b""
