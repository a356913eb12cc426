"""Who a job is outside of its sandbox, and acting as that user for a moment where only that user may.

A job of an ordinary user's host is that user. A job of root's is a user that owns nothing: the kernel counts no
processes of root's against a limit, and lets root's own write its settings in /proc, whatever rights they gave up.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

JOB_USER: Final = 60666
"""Of the numbers that neither Debian nor systemd gives away."""
_SET_REAL: Final = {"x86_64": (117, 119), "aarch64": (147, 149)}  # setresuid, setresgid


def job_user() -> int | None:
    """None where jobs run as the host's own user."""
    return JOB_USER if os.geteuid() == 0 else None


@contextmanager
def acting_as_job() -> Iterator[None]:
    """In this thread, files are made as the job's user, and limits of its processes set as by itself.

    The system calls are of the thread alone; the C library's setresuid would change every thread.
    """
    user = job_user()
    if user is None:
        yield
        return
    set_user, set_group = _SET_REAL[platform.machine()]
    libc = _libc()
    owner, group = os.getuid(), os.getgid()
    try:
        _done(libc.syscall(set_group, user, -1, -1))
        _done(libc.syscall(set_user, user, -1, -1))
        libc.setfsgid(user)
        libc.setfsuid(user)
        yield
    finally:
        libc.setfsuid(os.geteuid())
        libc.setfsgid(os.getegid())
        _done(libc.syscall(set_user, owner, -1, -1))
        _done(libc.syscall(set_group, group, -1, -1))


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _done(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "cannot act as the job's user")
