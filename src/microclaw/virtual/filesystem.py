"""The files that a program sees: a folder of flash, to read and write, and folders of modules, to read only.

No path leads out of them: names are taken one by one, `..` is refused, links are not followed. The flash has the size
of a chip's. Raises PosixError.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Final, TypeVar

BLOCK_BYTES: Final = 4096
"""littlefs: each file takes a block at least, as counted here."""
MAX_OPEN: Final = 32
MAX_NAME_BYTES: Final = 255
MAX_READ_BYTES: Final = 65_536
_FIRST: Final = 4
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


@dataclass(slots=True)
class _Open:
    """`fd` is the host's; None for a folder, whose `names` were read when it was opened, and for the random source."""

    fd: int | None = None
    names: list[tuple[str, bool]] | None = None
    appends: bool = False


@dataclass(slots=True)
class FileSystem:
    """`mounts`: virtual folder -> the host's, to read only; all else is in `flash`, which has `total_bytes`.

    Without a `random_seed` there is no random source.
    """

    flash: Path
    total_bytes: int
    mounts: Mapping[str, Path] = field(default_factory=dict)
    random_seed: bytes = b""
    _open: dict[int, _Open] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.flash.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def free_bytes(self) -> int:
        """What still fits; files that were put there from outside count too."""
        return max(0, self.total_bytes - sum(_blocks(path.lstat().st_size) for path in self.flash.rglob("*")))

    def open(
        self, path: str, *, reads: bool, writes: bool, create: bool, exclusive: bool, cut: bool, appends: bool
    ) -> int:
        if len(self._open) >= MAX_OPEN:
            raise PosixError(Errno.EMFILE)
        if self.random_seed and path.strip("/") in _RANDOM:
            return self._keep(_Open())
        place, may_write = self._resolve(path)
        if place.is_dir():
            if writes:
                raise PosixError(Errno.EISDIR)
            rows = sorted((entry.name, entry.is_dir()) for entry in place.iterdir() if not entry.is_symlink())
            if place == self.flash:
                rows += [(name.strip("/"), True) for name in self.mounts]
            return self._keep(_Open(names=rows))
        if (writes or create or cut) and not may_write:
            raise PosixError(Errno.EROFS)
        if create and not place.exists():
            self._check_room(BLOCK_BYTES)
        flags = (os.O_RDWR if reads else os.O_WRONLY) if writes else os.O_RDONLY
        flags |= (os.O_CREAT if create else 0) | (os.O_EXCL if exclusive else 0)
        flags |= (os.O_TRUNC if cut else 0) | (os.O_APPEND if appends else 0)
        fd = _try(lambda: os.open(place, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600))
        return self._keep(_Open(fd, appends=appends))

    def close(self, number: int) -> None:
        fd = self._file(number).fd
        del self._open[number]
        if fd is not None:
            os.close(fd)

    def close_all(self) -> None:
        for number in list(self._open):
            self.close(number)

    def is_folder(self, number: int) -> bool:
        return self._file(number).names is not None

    def names(self, number: int) -> list[tuple[str, bool]]:
        """The entries of an open folder, and which of them are folders."""
        names = self._file(number).names
        if names is None:
            raise PosixError(Errno.ENOTDIR)
        return names

    def read(self, number: int, size: int) -> bytes:
        file = self._file(number)
        size = min(size, MAX_READ_BYTES)
        if file.names is not None:
            raise PosixError(Errno.EISDIR)
        if file.fd is None:
            # Repeatable: the same boot gives the same numbers.
            self.random_seed = hashlib.sha256(self.random_seed).digest()
            return hashlib.shake_128(self.random_seed).digest(size)
        fd = file.fd
        return _try(lambda: os.read(fd, size))

    def write(self, number: int, data: bytes) -> int:
        file = self._file(number)
        fd = file.fd
        if fd is None:
            raise PosixError(Errno.EBADF)
        before = os.fstat(fd).st_size
        at = before if file.appends else os.lseek(fd, 0, os.SEEK_CUR)
        self._check_room(_blocks(max(before, at + len(data))) - _blocks(before))
        return _try(lambda: os.write(fd, data))

    def seek(self, number: int, offset: int, whence: int) -> int:
        file = self._file(number)
        if file.fd is None or whence not in (0, 1, 2):
            raise PosixError(Errno.EINVAL)
        try:
            return os.lseek(file.fd, offset, whence)
        except (OSError, OverflowError):
            raise PosixError(Errno.EINVAL) from None

    def sync(self, number: int) -> None:
        fd = self._file(number).fd
        if fd is not None:
            os.fsync(fd)

    def stat(self, path: str) -> os.stat_result:
        place, _ = self._resolve(path)
        return _try(place.lstat)

    def make_folder(self, path: str) -> None:
        place = self._writable(path)
        self._check_room(BLOCK_BYTES)
        _try(lambda: place.mkdir(mode=0o700))

    def remove_folder(self, path: str) -> None:
        _try(self._writable(path).rmdir)

    def remove(self, path: str) -> None:
        _try(self._writable(path).unlink)

    def rename(self, path: str, to: str) -> None:
        place, target = self._writable(path), self._writable(to)
        _try(lambda: place.rename(target))

    def _check_room(self, size: int) -> None:
        if size > 0 and size > self.free_bytes:
            raise PosixError(Errno.ENOSPC)

    def _keep(self, file: _Open) -> int:
        number = next(n for n in range(_FIRST, _FIRST + MAX_OPEN) if n not in self._open)
        self._open[number] = file
        return number

    def _file(self, number: int) -> _Open:
        file = self._open.get(number)
        if file is None:
            raise PosixError(Errno.EBADF)
        return file

    def _writable(self, path: str) -> Path:
        place, may_write = self._resolve(path)
        if not may_write or place == self.flash:
            raise PosixError(Errno.EROFS)
        return place

    def _resolve(self, path: str) -> tuple[Path, bool]:
        """The host's path, and whether it may be written."""
        names = [name for name in path.split("/") if name not in ("", ".")]
        if ".." in names or "\0" in path:
            raise PosixError(Errno.EPERM)
        if any(len(name.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES for name in names):
            raise PosixError(Errno.ENAMETOOLONG)
        mount = self.mounts.get(f"/{names[0]}") if names else None
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
