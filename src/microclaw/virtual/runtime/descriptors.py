"""File descriptors of one app: device nodes, files under /storage and the console. The natives turn errors into -1."""

from __future__ import annotations

import os
from typing import Final

from microclaw.virtual.board import Board
from microclaw.virtual.filesystem import Errno, File, FileSystem, OpenFile, PosixError
from microclaw.virtual.nodes.gpio import GpioFile
from microclaw.virtual.nodes.i2c import I2cFile
from microclaw.virtual.nodes.ledc import NODES, Ledc, LedcFile
from microclaw.virtual.nodes.node import DeviceFile, DeviceUser
from microclaw.virtual.nodes.spi import SpiFile, UartFile
from microclaw.wire.wasmachine.ioctl import OpenFlag

FIRST_FD: Final = 3
MAX_FILES: Final = 16
"""Fewer than ESP-IDF's VFS allows; an app that needs more forgets to close."""
_HOST_FLAGS: Final = {OpenFlag[name]: getattr(os, name) for name in ("O_CREAT", "O_EXCL", "O_TRUNC", "O_APPEND")}
STORAGE_BYTES: Final = 1_048_576
NAME_BYTES: Final = 64
"""esp_littlefs: LITTLEFS_OBJ_NAME_LEN, unless a build sets another one."""


class _Console(OpenFile):
    """The firmware's serial console. Its native writes to it, also when the app closed it."""

    def read(self, _size: int, /) -> bytes:
        raise PosixError(Errno.EBADF)


class FileTable:
    """The open descriptors of one app."""

    def __init__(self, board: Board, ledc: Ledc, user: DeviceUser) -> None:
        self._board = board
        self._ledc = ledc
        self._user = user
        self._storage: FileSystem | None = None
        if board.storage_dir is not None and board.profile.firmware.has_files:
            self._storage = FileSystem(board.storage_dir, STORAGE_BYTES, name_bytes=NAME_BYTES)
        self._open: dict[int, OpenFile] = {1: _Console(), 2: _Console()}

    def open(self, path: str, flags: int) -> int:
        """Open a device or a file; return the lowest free descriptor. PosixError says why not."""
        fd = next((n for n in range(FIRST_FD, FIRST_FD + MAX_FILES) if n not in self._open), None)
        if fd is None:
            raise PosixError(Errno.EMFILE)
        self._open[fd] = self._open_path(path, flags)
        return fd

    def get(self, fd: int) -> OpenFile:
        """Return the file behind a descriptor. PosixError EBADF if it is not open."""
        file = self._open.get(fd)
        if file is None:
            raise PosixError(Errno.EBADF)
        return file

    def storage(self, fd: int) -> File:
        """Return the regular file behind a descriptor. PosixError ENOSYS for a device: it cannot seek."""
        file = self.get(fd)
        if not isinstance(file, File):
            raise PosixError(Errno.ENOSYS)
        return file

    def device(self, fd: int) -> DeviceFile:
        """Return the device behind a descriptor. PosixError EINVAL for a file: it has no ioctl."""
        file = self.get(fd)
        if not isinstance(file, DeviceFile):
            raise PosixError(Errno.EINVAL)
        return file

    def close(self, fd: int) -> None:
        """Close a descriptor. PosixError EBADF if it is not open."""
        file = self.get(fd)
        del self._open[fd]
        file.close()

    def abandon(self) -> None:
        """Forget all files of an app that is gone. Its devices stay as they are: the firmware knows no owner."""
        for file in self._open.values():
            file.abandon()
        self._open.clear()

    def _open_path(self, path: str, flags: int) -> OpenFile:
        parts = path.split("/")
        if parts[:2] == ["", "dev"]:
            if len(parts) != 4:
                raise PosixError(Errno.ENOENT)
            return self._open_device(parts[2], parts[3], flags)
        if parts[:2] == ["", "storage"] and any(parts[2:]):
            return self._open_stored("/".join(parts[2:]), flags)
        raise PosixError(Errno.ENOENT)

    def _open_stored(self, path: str, flags: int) -> File:
        if self._storage is None:
            raise PosixError(Errno.ENOENT)
        host_flags = os.O_RDONLY
        if flags & OpenFlag.O_WRONLY:
            host_flags = os.O_WRONLY
            if flags & OpenFlag.O_RDONLY:
                host_flags = os.O_RDWR
        for flag, host_flag in _HOST_FLAGS.items():
            if flags & flag:
                host_flags |= host_flag
        return self._storage.open(path, host_flags)

    def _open_device(self, node: str, number: str, flags: int) -> OpenFile:
        board = self._board
        if node not in board.profile.firmware.device_nodes:
            raise PosixError(Errno.ENOENT)
        index = _atoi(number)
        if node == "gpio" and board.has_pin(index) and not flags & ~OpenFlag.O_RDWR:
            return GpioFile(board, self._user, index, flags)
        if node == "ledc" and 0 <= index < NODES:
            return LedcFile(self._ledc, self._user, index)
        if node == "i2c" and index == 0 and board.profile.i2c is not None:
            return I2cFile(board, self._user)
        if node == "spi" and 0 <= index <= max(board.spi_hosts):
            return SpiFile(board, self._user, index)
        if node == "uart":
            if number not in map(str, board.uarts):
                raise PosixError(Errno.ENOENT)
            return UartFile(board, self._user, index)
        raise PosixError(Errno.EINVAL)


def _atoi(text: str) -> int:
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    if digits:
        return int(digits[:9])
    return 0
