"""File descriptors of one app: device nodes, files under /storage and the console. The natives turn errors into -1."""

from __future__ import annotations

import errno
import os
from typing import Final

from microclaw.virtual.board import Board
from microclaw.virtual.nodes.gpio import GpioFile
from microclaw.virtual.nodes.i2c import I2cFile
from microclaw.virtual.nodes.ledc import NODES, Ledc, LedcFile
from microclaw.virtual.nodes.node import Errno, OpenFile, PosixError
from microclaw.virtual.nodes.spi import SpiFile, host_exists
from microclaw.virtual.nodes.uart import UartFile
from microclaw.wire.wasmachine.ioctl import OpenFlag

FIRST_FD: Final = 3
MAX_FILES: Final = 16
"""Fewer than ESP-IDF's VFS allows; an app that needs more forgets to close."""
_CONSOLE: Final = (1, 2)
_HOST_FLAGS: Final = {OpenFlag.O_CREAT: os.O_CREAT, OpenFlag.O_EXCL: os.O_EXCL, OpenFlag.O_TRUNC: os.O_TRUNC}


class StorageFile(OpenFile):
    """A regular file below /storage."""

    def __init__(self, board: Board, path: str, flags: int) -> None:
        target = board.storage.resolve(path)
        if target is None:
            raise PosixError(Errno.ENOENT)
        self._storage = board.storage
        self._appends = bool(flags & OpenFlag.O_APPEND)
        self._can_read = bool(flags & OpenFlag.O_RDONLY) or not flags & OpenFlag.O_WRONLY
        self._can_write = bool(flags & OpenFlag.O_WRONLY)
        mode = os.O_RDWR if self._can_write else os.O_RDONLY
        for flag, host in _HOST_FLAGS.items():
            if flags & flag:
                mode |= host
        try:
            self._fd = os.open(target, mode | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise PosixError(_errno_of(exc)) from exc

    def write(self, data: bytes) -> int:
        if self._appends:
            os.lseek(self._fd, 0, os.SEEK_END)
        size = self.write_at(data, os.lseek(self._fd, 0, os.SEEK_CUR))
        os.lseek(self._fd, size, os.SEEK_CUR)
        return size

    def read(self, size: int) -> bytes:
        data = self.read_at(size, os.lseek(self._fd, 0, os.SEEK_CUR))
        os.lseek(self._fd, len(data), os.SEEK_CUR)
        return data

    def write_at(self, data: bytes, offset: int) -> int:
        if not self._can_write:
            raise PosixError(Errno.EBADF)
        grows = max(0, offset + len(data) - os.fstat(self._fd).st_size)
        if offset < 0 or grows > self._storage.free_bytes():
            raise PosixError(Errno.ENOSPC if offset >= 0 else Errno.EINVAL)
        return os.pwrite(self._fd, data, offset)

    def read_at(self, size: int, offset: int) -> bytes:
        if not self._can_read:
            raise PosixError(Errno.EBADF)
        if offset < 0:
            raise PosixError(Errno.EINVAL)
        return os.pread(self._fd, size, offset)

    def seek(self, offset: int, whence: int) -> int:
        if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            raise PosixError(Errno.EINVAL)
        try:
            return os.lseek(self._fd, offset, whence)
        except OSError as exc:
            raise PosixError(_errno_of(exc)) from exc

    def sync(self) -> None:
        os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)

    def abandon(self) -> None:
        self.close()


class _Console(OpenFile):
    """Descriptors 1 and 2: the firmware's serial console. Its native writes to it, also when the app closed it."""

    def read(self, _size: int, /) -> bytes:
        raise PosixError(Errno.EBADF)


class FileTable:
    """The open descriptors of one app."""

    def __init__(self, board: Board, ledc: Ledc, app: str) -> None:
        self._board = board
        self._ledc = ledc
        self._app = app
        self._open: dict[int, OpenFile] = {fd: _Console() for fd in _CONSOLE}

    def open(self, path: str, flags: int) -> int:
        """The lowest free descriptor; PosixError says why not."""
        fd = next((n for n in range(FIRST_FD, FIRST_FD + MAX_FILES) if n not in self._open), None)
        if fd is None:
            raise PosixError(Errno.EMFILE)
        self._open[fd] = self._opened(path, flags)
        return fd

    def get(self, fd: int) -> OpenFile:
        file = self._open.get(fd)
        if file is None:
            raise PosixError(Errno.EBADF)
        return file

    def storage(self, fd: int) -> StorageFile:
        """The regular file behind a descriptor; devices cannot seek."""
        file = self.get(fd)
        if not isinstance(file, StorageFile):
            raise PosixError(Errno.ENOSYS)
        return file

    def close(self, fd: int) -> None:
        file = self.get(fd)
        del self._open[fd]
        file.close()

    def abandon(self) -> None:
        """The app is gone. Its devices stay as they are, as on the firmware, which knows no owner."""
        for file in self._open.values():
            file.abandon()
        self._open.clear()

    def _opened(self, path: str, flags: int) -> OpenFile:
        parts = path.split("/")
        if parts[:2] != ["", "dev"]:
            if not self._board.profile.firmware.has_files:
                raise PosixError(Errno.ENOENT)
            return StorageFile(self._board, path, flags)
        node, number = (parts[2], parts[3]) if len(parts) == 4 else ("", "")
        if node not in self._board.profile.firmware.device_nodes:
            raise PosixError(Errno.ENOENT)
        index = _atoi(number)
        if node == "gpio":
            return self._open_gpio(index, flags)
        if node == "ledc" and 0 <= index < NODES:
            return LedcFile(self._ledc, index)
        if node == "i2c" and index == 0 and self._board.profile.i2c is not None:
            return I2cFile(self._board)
        if node == "spi" and host_exists(self._board, index):
            return SpiFile(self._board, index)
        if node == "uart":
            return UartFile(self._board, number)
        raise PosixError(Errno.EINVAL)

    def _open_gpio(self, pin: int, flags: int) -> GpioFile:
        if not self._board.has_pin(pin) or flags & ~OpenFlag.O_RDWR:
            raise PosixError(Errno.EINVAL)
        return GpioFile(self._board, pin, flags, self._app)


def _atoi(text: str) -> int:
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    return int(digits[:9]) if digits else 0


def _errno_of(exc: OSError) -> Errno:
    return Errno.__members__.get(errno.errorcode.get(exc.errno or 0, ""), Errno.EIO)
