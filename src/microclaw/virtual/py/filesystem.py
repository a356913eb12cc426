"""The files that an interpreter sees: the board's flash, to read and write, and folders of modules, to read only.

No path leads out of them: names are taken one by one, `..` is refused, links are not followed. The flash has the size
of a chip's. Raises FileFault with a number of WASI's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Final

FLASH_BYTES: Final = 2 * 1024 * 1024
"""What stock images leave for files on a chip with 4 MB."""
BLOCK_BYTES: Final = 4096
"""littlefs: each file takes a block at least, as counted here."""
MAX_OPEN: Final = 32
MAX_NAME_BYTES: Final = 255
MAX_READ_BYTES: Final = 65_536


class Errno(IntEnum):
    """WASI preview 1."""

    EBADF = 8
    EEXIST = 20
    EINVAL = 28
    EIO = 29
    EISDIR = 31
    EMFILE = 33
    ENAMETOOLONG = 37
    ENOENT = 44
    ENOSPC = 51
    ENOTDIR = 54
    ENOTEMPTY = 55
    EPERM = 63
    EROFS = 69


_RANDOM: Final = ("dev/random", "dev/urandom")
_OF_HOST: Final = {17: Errno.EEXIST, 2: Errno.ENOENT, 20: Errno.ENOTDIR, 21: Errno.EISDIR, 39: Errno.ENOTEMPTY}


class FileFault(Exception):
    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.errno = errno


@dataclass(slots=True)
class OpenFile:
    """`fd` is the host's; None for a folder, whose `names` were read when it was opened, and for the random source."""

    path: Path
    fd: int | None = None
    names: list[tuple[str, bool]] | None = None
    writes: bool = False
    appends: bool = False
    is_random: bool = False


@dataclass(slots=True)
class Facts:
    is_folder: bool
    size: int = 0
    modified_ns: int = 0


@dataclass(slots=True)
class FileSystem:
    """`mounts`: virtual folder -> the host's, to read only; all else is in `flash`."""

    flash: Path
    mounts: Mapping[str, Path]
    random_seed: bytes
    _used: int = 0
    _open: dict[int, OpenFile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.flash.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._used = sum(_blocks(path.lstat().st_size) for path in self.flash.rglob("*"))

    @property
    def total_bytes(self) -> int:
        return FLASH_BYTES

    @property
    def free_bytes(self) -> int:
        return max(0, FLASH_BYTES - self._used)

    def open(
        self, path: str, *, reads: bool, writes: bool, create: bool, exclusive: bool, cut: bool, appends: bool
    ) -> int:
        if len(self._open) >= MAX_OPEN:
            raise FileFault(Errno.EMFILE)
        if path.strip("/") in _RANDOM:
            return self._keep(OpenFile(Path(), is_random=True))
        place, may_write = self._resolve(path)
        if place.is_dir():
            if writes:
                raise FileFault(Errno.EISDIR)
            rows = sorted((entry.name, entry.is_dir()) for entry in place.iterdir() if not entry.is_symlink())
            if place == self.flash:
                rows += [(name.strip("/"), True) for name in self.mounts]
            return self._keep(OpenFile(place, names=rows))
        if (writes or create or cut) and not may_write:
            raise FileFault(Errno.EROFS)
        is_new = not place.exists()
        if is_new and create and self.free_bytes < BLOCK_BYTES:
            raise FileFault(Errno.ENOSPC)
        flags = (os.O_RDWR if reads else os.O_WRONLY) if writes else os.O_RDONLY
        flags |= (os.O_CREAT if create else 0) | (os.O_EXCL if exclusive else 0)
        before = 0 if is_new else place.stat().st_size
        try:
            fd = os.open(place, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        except OSError as exc:
            raise _fault(exc) from exc
        if is_new:
            self._used += BLOCK_BYTES
        elif cut:
            os.ftruncate(fd, 0)
            self._used -= _blocks(before) - BLOCK_BYTES
        return self._keep(OpenFile(place, fd, writes=writes, appends=appends))

    def close(self, number: int) -> None:
        file = self._open.pop(number, None)
        if file is None:
            raise FileFault(Errno.EBADF)
        if file.fd is not None:
            os.close(file.fd)

    def close_all(self) -> None:
        for number in list(self._open):
            self.close(number)

    def is_folder(self, number: int) -> bool:
        return self._file(number).names is not None

    def names(self, number: int) -> list[tuple[str, bool]]:
        """The entries of an open folder, and which of them are folders."""
        names = self._file(number).names
        if names is None:
            raise FileFault(Errno.ENOTDIR)
        return names

    def read(self, number: int, size: int) -> bytes:
        file = self._file(number)
        size = min(size, MAX_READ_BYTES)
        if file.is_random:
            # Repeatable: the same boot gives the same numbers.
            import hashlib

            self.random_seed = hashlib.sha256(self.random_seed).digest()
            return hashlib.shake_128(self.random_seed).digest(size)
        if file.fd is None:
            raise FileFault(Errno.EISDIR)
        try:
            return os.read(file.fd, size)
        except OSError as exc:
            raise _fault(exc) from exc

    def write(self, number: int, data: bytes) -> int:
        file = self._file(number)
        if file.fd is None or not file.writes:
            raise FileFault(Errno.EBADF)
        before = os.fstat(file.fd).st_size
        at = before if file.appends else os.lseek(file.fd, 0, os.SEEK_CUR)
        grown = _blocks(max(before, at + len(data))) - _blocks(before)
        if grown > self.free_bytes:
            raise FileFault(Errno.ENOSPC)
        try:
            if file.appends:
                os.lseek(file.fd, 0, os.SEEK_END)
            written = os.write(file.fd, data)
        except OSError as exc:
            raise _fault(exc) from exc
        self._used += grown
        return written

    def seek(self, number: int, offset: int, whence: int) -> int:
        file = self._file(number)
        if file.fd is None or whence not in (0, 1, 2):
            raise FileFault(Errno.EINVAL)
        try:
            return os.lseek(file.fd, offset, whence)
        except (OSError, OverflowError):
            raise FileFault(Errno.EINVAL) from None

    def sync(self, number: int) -> None:
        fd = self._file(number).fd
        if fd is not None:
            os.fsync(fd)

    def stat(self, path: str) -> Facts:
        place, _ = self._resolve(path)
        try:
            found = place.lstat()
        except OSError as exc:
            raise _fault(exc) from exc
        return Facts(stat.S_ISDIR(found.st_mode), found.st_size, found.st_mtime_ns)

    def make_folder(self, path: str) -> None:
        place = self._writable(path)
        if self.free_bytes < BLOCK_BYTES:
            raise FileFault(Errno.ENOSPC)
        self._try(lambda: place.mkdir(mode=0o700))
        self._used += BLOCK_BYTES

    def remove_folder(self, path: str) -> None:
        place = self._writable(path)
        if not place.is_dir():
            raise FileFault(Errno.ENOTDIR if place.exists() else Errno.ENOENT)
        self._try(place.rmdir)
        self._used -= BLOCK_BYTES

    def remove(self, path: str) -> None:
        place = self._writable(path)
        if place.is_dir():
            raise FileFault(Errno.EISDIR)
        size = self.stat(path).size
        self._try(place.unlink)
        self._used -= _blocks(size)

    def rename(self, path: str, to: str) -> None:
        place, target = self._writable(path), self._writable(to)
        replaced = _blocks(target.stat().st_size) if target.is_file() else 0
        self._try(lambda: place.rename(target))
        self._used -= replaced

    def _keep(self, file: OpenFile) -> int:
        number = next(n for n in range(4, 4 + MAX_OPEN + 1) if n not in self._open)
        self._open[number] = file
        return number

    def _file(self, number: int) -> OpenFile:
        file = self._open.get(number)
        if file is None:
            raise FileFault(Errno.EBADF)
        return file

    def _writable(self, path: str) -> Path:
        place, may_write = self._resolve(path)
        if not may_write or place == self.flash:
            raise FileFault(Errno.EROFS)
        return place

    def _resolve(self, path: str) -> tuple[Path, bool]:
        """The host's path, and whether it may be written."""
        names = [name for name in path.split("/") if name not in ("", ".")]
        if ".." in names or "\0" in path:
            raise FileFault(Errno.EPERM)
        if any(len(name.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES for name in names):
            raise FileFault(Errno.ENAMETOOLONG)
        mount = self.mounts.get(f"/{names[0]}") if names else None
        place = mount if mount is not None else self.flash
        for name in names[1:] if mount is not None else names:
            place /= name
            if place.is_symlink():
                raise FileFault(Errno.EPERM)
        return place, mount is None

    def _try(self, action: object) -> None:
        assert callable(action)
        try:
            action()
        except OSError as exc:
            raise _fault(exc) from exc


def _blocks(size: int) -> int:
    return max(1, -(-size // BLOCK_BYTES)) * BLOCK_BYTES


def _fault(exc: OSError) -> FileFault:
    if exc.errno in (28, 122):
        return FileFault(Errno.ENOSPC)
    return FileFault(_OF_HOST.get(exc.errno or 0, Errno.EIO))
