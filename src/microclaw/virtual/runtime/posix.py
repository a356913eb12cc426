"""The error numbers that the firmware hands to apps (WASI's), and the exception that carries one inside the natives."""

from __future__ import annotations

from enum import IntEnum


class Errno(IntEnum):
    """WASI preview 1 values; esp-wasmachine maps newlib's to them (errno_c2wasm)."""

    EAGAIN = 6
    EBADF = 8
    EBUSY = 10
    EEXIST = 20
    EFBIG = 22
    EINVAL = 28
    EIO = 29
    EISDIR = 31
    EMFILE = 33
    ENODEV = 43
    ENOENT = 44
    ENOSPC = 51
    ENOSYS = 52
    ENOTSUP = 58
    EPERM = 63


class PosixError(Exception):
    """The native answers -1; `errno` reaches the app only if it exports libc_builtin_set_errno."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.errno = errno
