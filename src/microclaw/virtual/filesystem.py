"""The files that a program sees: a folder of flash, to read and write, and folders of modules, to read only.

No path leads out of them: names are taken one by one, `..` is refused, links are not followed. The flash has the size
of a chip's. Raises PosixError.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from fcntl import F_GETFL, fcntl
from pathlib import Path
from typing import Final, TypeVar

BLOCK_BYTES: Final = 4096
"""littlefs: each file takes a block at least, as counted here."""
MAX_NAME_BYTES: Final = 255
MAX_READ_BYTES: Final = 65_536
_RANDOM: Final = ("dev/random", "dev/urandom")
T = TypeVar("T")


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
    ENAMETOOLONG = 37
    ENODEV = 43
    ENOENT = 44
    ENOSPC = 51
    ENOSYS = 52
    ENOTDIR = 54
    ENOTEMPTY = 55
    ENOTSUP = 58
    EPERM = 63
    EROFS = 69


class PosixError(Exception):
    """The call answers -1, or this errno."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.errno = errno


class OpenFile:
    """It can do nothing: each kind overrides what its driver offers. Every method may raise PosixError."""

    def write(self, _data: bytes, /) -> int:
        raise PosixError(Errno.ENOSYS)

    def read(self, _size: int, /) -> bytes:
        raise PosixError(Errno.ENOSYS)

    def close(self) -> None:
        """Close it: the app did so."""

    def abandon(self) -> None:
        """Give back what the host holds, and leave the device as it is: the app ended without closing it."""


class File(OpenFile):
    """A file; a folder, whose `names` were read when it was opened; or the random source, if it is neither."""

    def __init__(
        self, files: FileSystem, fd: int | None = None, *, names: Sequence[tuple[str, bool]] | None = None
    ) -> None:
        self.names = names
        self._files = files
        self._fd = fd

    def read(self, size: int) -> bytes:
        size = min(size, MAX_READ_BYTES)
        if self.names is not None:
            raise PosixError(Errno.EISDIR)
        if self._fd is None:
            return self._files.next_random(size)
        fd = self._fd
        return _try(lambda: os.read(fd, size))

    def write(self, data: bytes) -> int:
        fd = self._regular(Errno.EBADF)
        before = os.fstat(fd).st_size
        if fcntl(fd, F_GETFL) & os.O_APPEND:
            at = before
        else:
            at = os.lseek(fd, 0, os.SEEK_CUR)
        self._files.check_room(_blocks(max(before, at + len(data))) - _blocks(before))
        return _try(lambda: os.write(fd, data))

    def at(self, offset: int, act: Callable[[], T]) -> T:
        """Do `act` at that offset; the file's own place stays."""
        before = self.seek(0, os.SEEK_CUR)
        try:
            self.seek(offset, os.SEEK_SET)
            return act()
        finally:
            self.seek(before, os.SEEK_SET)

    def seek(self, offset: int, whence: int) -> int:
        fd = self._regular(Errno.EINVAL)
        try:
            if whence in (0, 1, 2):
                return os.lseek(fd, offset, whence)
        except (OSError, OverflowError):
            pass
        raise PosixError(Errno.EINVAL)

    def sync(self) -> None:
        if self._fd is not None:
            os.fsync(self._fd)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)

    abandon = close

    def _regular(self, errno: Errno) -> int:
        if self._fd is None:
            raise PosixError(errno)
        return self._fd


@dataclass(slots=True)
class FileSystem:
    """`mounts`: virtual folder -> the host's, to read only; all else is in `flash`, which has `total_bytes`.

    Without a `random_seed` there is no random source.
    """

    flash: Path
    total_bytes: int
    mounts: Mapping[str, Path] = field(default_factory=dict)
    random_seed: bytes = b""
    name_bytes: int = MAX_NAME_BYTES

    def __post_init__(self) -> None:
        self.flash.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def free_bytes(self) -> int:
        """The bytes that still fit; files that were put there from outside count too."""
        return max(0, self.total_bytes - sum(_blocks(path.lstat().st_size) for path in self.flash.rglob("*")))

    def open(self, path: str, flags: int) -> File:
        """Open a file or folder; `flags` are the host's O_RDONLY, O_CREAT and so on."""
        if self.random_seed and path.strip("/") in _RANDOM:
            return File(self)
        place, may_write = self._resolve(path)
        if place.is_dir():
            if flags & (os.O_WRONLY | os.O_RDWR):
                raise PosixError(Errno.EISDIR)
            rows = sorted((entry.name, entry.is_dir()) for entry in place.iterdir() if not entry.is_symlink())
            if place == self.flash:
                rows += [(name.strip("/"), True) for name in self.mounts]
            return File(self, names=rows)
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) and not may_write:
            raise PosixError(Errno.EROFS)
        if flags & os.O_CREAT and not place.exists():
            self.check_room(BLOCK_BYTES)
        fd = _try(lambda: os.open(place, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600))
        return File(self, fd)

    def next_random(self, size: int) -> bytes:
        """Return random bytes; the same boot gives the same."""
        self.random_seed = hashlib.sha256(self.random_seed).digest()
        return hashlib.shake_128(self.random_seed).digest(size)

    def stat(self, path: str) -> os.stat_result:
        place, _ = self._resolve(path)
        return _try(place.lstat)

    def make_folder(self, path: str) -> None:
        place = self._writable(path)
        self.check_room(BLOCK_BYTES)
        _try(lambda: place.mkdir(mode=0o700))

    def remove_folder(self, path: str) -> None:
        _try(self._writable(path).rmdir)

    def remove(self, path: str) -> None:
        _try(self._writable(path).unlink)

    def rename(self, path: str, to: str) -> None:
        place = self._writable(path)
        target = self._writable(to)
        _try(lambda: place.rename(target))

    def check_room(self, size: int) -> None:
        if size > 0 and size > self.free_bytes:
            raise PosixError(Errno.ENOSPC)

    def _writable(self, path: str) -> Path:
        place, may_write = self._resolve(path)
        if not may_write or place == self.flash:
            raise PosixError(Errno.EROFS)
        return place

    def _resolve(self, path: str) -> tuple[Path, bool]:
        """Find the host's path, and if it may be written."""
        names = [name for name in path.split("/") if name not in ("", ".")]
        if ".." in names or "\0" in path:
            raise PosixError(Errno.EPERM)
        if any(len(name.encode("utf-8", "surrogateescape")) > self.name_bytes for name in names):
            raise PosixError(Errno.ENAMETOOLONG)
        if names:
            mount = self.mounts.get(f"/{names[0]}")
        else:
            mount = None
        place = mount if mount is not None else self.flash
        for name in names[1:] if mount is not None else names:
            place /= name
            if place.is_symlink():
                raise PosixError(Errno.EPERM)
        return place, mount is None


def _blocks(size: int) -> int:
    return max(1, -(-size // BLOCK_BYTES)) * BLOCK_BYTES


def _try(action: Callable[[], T]) -> T:
    try:
        return action()
    except OSError as exc:
        name = errno.errorcode.get(exc.errno or 0, "").replace("EDQUOT", "ENOSPC")
        raise PosixError(Errno.__members__.get(name, Errno.EIO)) from exc
