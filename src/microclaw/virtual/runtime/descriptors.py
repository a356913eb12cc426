"""File descriptors of one app: device nodes, files under /storage and the console. The natives turn errors into -1."""

from __future__ import annotations

import os
from typing import Final

from microclaw.virtual.board import Board
from microclaw.virtual.filesystem import Errno, File, FileSystem, OpenFile, PosixError
from microclaw.virtual.nodes.gpio import GpioFile
from microclaw.virtual.nodes.i2c import I2cFile
from microclaw.virtual.nodes.ledc import NODES, Ledc, LedcFile
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

    def __init__(self, board: Board, ledc: Ledc, app: str) -> None:
        self._board = board
        self._ledc = ledc
        self._app = app
        folder = board.storage_dir if board.profile.firmware.has_files else None
        self._storage = FileSystem(folder, STORAGE_BYTES, name_bytes=NAME_BYTES) if folder is not None else None
        self._open: dict[int, OpenFile] = {1: _Console(), 2: _Console()}

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

    def storage(self, fd: int) -> File:
        """The regular file behind a descriptor; devices cannot seek."""
        file = self.get(fd)
        if not isinstance(file, File):
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
            if parts[:2] != ["", "storage"] or not any(parts[2:]) or self._storage is None:
                raise PosixError(Errno.ENOENT)
            if flags & OpenFlag.O_WRONLY:
                access = os.O_RDWR if flags & OpenFlag.O_RDONLY else os.O_WRONLY
            else:
                access = os.O_RDONLY
            others = sum(host for flag, host in _HOST_FLAGS.items() if flags & flag)
            return self._storage.open("/".join(parts[2:]), access | others)
        node, number = (parts[2], parts[3]) if len(parts) == 4 else ("", "")
        if node not in self._board.profile.firmware.device_nodes:
            raise PosixError(Errno.ENOENT)
        index = _atoi(number)
        if node == "gpio" and self._board.has_pin(index) and not flags & ~OpenFlag.O_RDWR:
            return GpioFile(self._board, index, flags, self._app)
        if node == "ledc" and 0 <= index < NODES:
            return LedcFile(self._ledc, index)
        if node == "i2c" and index == 0 and self._board.profile.i2c is not None:
            return I2cFile(self._board)
        if node == "spi" and 0 <= index <= max(self._board.spi_hosts):
            return SpiFile(self._board, index)
        if node == "uart":
            if number not in map(str, self._board.uarts):
                raise PosixError(Errno.ENOENT)
            return UartFile()
        raise PosixError(Errno.EINVAL)


def _atoi(text: str) -> int:
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    if digits:
        return int(digits[:9])
    return 0
