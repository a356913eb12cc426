"""What a descriptor of an app stands for: the base class of all kinds of open files. Opens nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microclaw.virtual.runtime.posix import Errno, PosixError

if TYPE_CHECKING:
    from microclaw.virtual.runtime.process import Process  # which has a table of open files


class OpenFile:
    """It can do nothing: each kind overrides what its driver offers. Every method may raise PosixError."""

    def write(self, _data: bytes, /) -> int:
        raise PosixError(Errno.ENOSYS)

    def read(self, _size: int, /) -> bytes:
        raise PosixError(Errno.ENOSYS)

    def ioctl(self, _process: Process, _command: int, _va: int, /) -> None:
        raise PosixError(Errno.EINVAL)

    def close(self) -> None:
        """The app closed it."""

    def abandon(self) -> None:
        """The app ended without closing it: give back what the host holds, and leave the device as it is."""
