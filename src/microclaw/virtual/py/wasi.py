"""The MicroPython image's way to the board in WASI preview 1: files, clock, console. wasmtime has the rest.

Source: github.com/WebAssembly/WASI, legacy/preview1/docs.md. Nothing of the host computer is behind it but the files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from stat import S_ISDIR
from struct import Struct, pack, unpack_from
from typing import Final

from microclaw.virtual.filesystem import Errno, File, FileSystem, PosixError
from microclaw.virtual.py.error_numbers import chip_number
from microclaw.virtual.runtime.memory import LinearMemory

ROOT_FD: Final = 3
MAX_OPEN: Final = 32
_STDIN: Final = 0
_OUTPUTS: Final = (1, 2)
_REALTIME: Final = 0
_CHARACTER = 2
_FOLDER = 3
_FILE = 4
_ALL_RIGHTS: Final = (1 << 30) - 1
_RIGHT_READ = 1 << 1
_RIGHT_WRITE = 1 << 6
_HOW: Final = {1: os.O_CREAT, 4: os.O_EXCL, 8: os.O_TRUNC}
_APPEND: Final = 1
_SUBSCRIPTION: Final = Struct("<QB7xI4xQQH6x")
_EVENT: Final = Struct("<QHB21x")
_IOVEC: Final = Struct("<II")
_MAX_VECTORS: Final = 64
_MAX_SUBSCRIPTIONS: Final = 8
_MAX_WRITE: Final = 65_536
_OF_LIBC: Final = ("fd_prestat_get", "path_readlink")
"""Calls whose errors the image's C library compares with WASI's numbers, and shows to no program."""


class Wasi:
    """`functions` by name, each called with integers, answering an errno. Times: ms of the board.

    The errors are numbered as on a chip: the image passes them on to programs.
    """

    def __init__(
        self,
        memory: LinearMemory,
        files: FileSystem,
        *,
        monotonic_ms: Callable[[], float],
        calendar_ms: Callable[[], float],
        sleep: Callable[[float], None],
        output: Callable[[bytes], None],
    ) -> None:
        self._memory = memory
        self._files = files
        self._open: dict[int, File] = {}
        self._monotonic_ms = monotonic_ms
        self._calendar_ms = calendar_ms
        self._sleep = sleep
        self._output = output

    @property
    def functions(self) -> Mapping[str, Callable[..., int]]:
        heads = ("_clock_", "_fd_", "_path_", "_poll_")
        calls = {name[1:]: getattr(self, name) for name in dir(self) if name.startswith(heads)}
        for name, act in (
            ("path_create_directory", self._files.make_folder),
            ("path_remove_directory", self._files.remove_folder),
            ("path_unlink_file", self._files.remove),
        ):
            calls[name] = lambda fd, path, size, act=act: act(self._path(fd, path, size))
        guarded = {name: self._guarded(call) for name, call in calls.items()}
        for name in _OF_LIBC:
            guarded[name] = self._guarded(calls[name], int)
        return guarded

    def _guarded(
        self, call: Callable[..., int | None], number_of: Callable[[Errno], int] = chip_number
    ) -> Callable[..., int]:
        def answer(*arguments: int) -> int:
            try:
                return call(*arguments) or 0
            except PosixError as exc:
                return number_of(exc.errno)

        return answer

    # Time

    def _clock_time_get(self, clock: int, _precision: int, out: int) -> None:
        if clock == _REALTIME:
            ms = self._calendar_ms()
        else:
            ms = self._monotonic_ms()
        self._memory.write(_at(out), pack("<Q", round(ms * 1000) * 1000))

    def _poll_oneoff(self, subscriptions: int, events: int, count: int, out: int) -> None:
        """Only clocks ever come true here: there is no input to wait for."""
        if not 0 < count <= _MAX_SUBSCRIPTIONS:
            raise PosixError(Errno.EINVAL)
        waits: list[tuple[float, int]] = []
        for index in range(count):
            row = self._memory.read(_at(subscriptions) + 48 * index, 48)
            userdata, kind, clock, timeout_ns, _, flags = _SUBSCRIPTION.unpack(row)
            if kind == 0:
                if clock == _REALTIME:
                    now_ms = self._calendar_ms()
                else:
                    now_ms = self._monotonic_ms()
                waits.append((timeout_ns / 1e6 - (now_ms if flags & 1 else 0), userdata))
        if not waits:
            raise PosixError(Errno.EBADF)
        ms, userdata = min(waits)
        if ms > 0:
            self._sleep(ms)
        self._memory.write(_at(events), _EVENT.pack(userdata, 0, 0))
        self._put(out, 1)

    # Files

    def _fd_prestat_get(self, fd: int, out: int) -> None:
        if fd != ROOT_FD:
            raise PosixError(Errno.EBADF)
        self._memory.write(_at(out), pack("<II", 0, 1))

    def _fd_prestat_dir_name(self, fd: int, out: int, size: int) -> None:
        if fd != ROOT_FD or size < 1:
            raise PosixError(Errno.EBADF)
        self._memory.write(_at(out), b"/")

    def _fd_fdstat_get(self, fd: int, out: int) -> None:
        if fd in (_STDIN, *_OUTPUTS):
            kind = _CHARACTER
        else:
            kind = _FOLDER if fd == ROOT_FD or self._file(fd).names is not None else _FILE
        self._memory.write(_at(out), pack("<BxHxxxxQQ", kind, 0, _ALL_RIGHTS, _ALL_RIGHTS))

    def _path_open(
        self, fd: int, _look: int, path: int, size: int, how: int, rights: int, _inherit: int, flags: int, out: int
    ) -> None:
        number = next((n for n in range(ROOT_FD + 1, ROOT_FD + 1 + MAX_OPEN) if n not in self._open), None)
        if number is None:
            raise PosixError(Errno.EMFILE)
        if rights & _RIGHT_WRITE:
            access = os.O_RDWR if rights & _RIGHT_READ else os.O_WRONLY
        else:
            access = os.O_RDONLY
        others = sum(host for flag, host in _HOW.items() if how & flag) | (os.O_APPEND if flags & _APPEND else 0)
        self._open[number] = self._files.open(self._path(fd, path, size), access | others)
        self._put(out, number)

    def _file(self, fd: int) -> File:
        file = self._open.get(fd)
        if file is None:
            raise PosixError(Errno.EBADF)
        return file

    def close(self) -> None:
        """Close all files: the interpreter is gone."""
        for file in self._open.values():
            file.close()

    def _fd_close(self, fd: int) -> None:
        if fd > ROOT_FD:
            self._file(fd).close()
            del self._open[fd]

    def _fd_read(self, fd: int, vectors: int, count: int, out: int) -> None:
        total = 0
        for address, size in self._vectors(vectors, count):
            if fd == _STDIN:
                data = b""
            else:
                data = self._file(fd).read(size)
            self._memory.write(address, data)
            total += len(data)
            if len(data) < size:
                break
        self._put(out, total)

    def _fd_write(self, fd: int, vectors: int, count: int, out: int) -> None:
        rows = self._vectors(vectors, count)
        if sum(size for _, size in rows) > _MAX_WRITE:
            rows = [(address, min(size, _MAX_WRITE)) for address, size in rows[:1]]
        data = b"".join(self._memory.read(address, size) for address, size in rows)
        if fd in _OUTPUTS:
            self._output(data)
            written = len(data)
        else:
            written = self._file(fd).write(data)
        self._put(out, written)

    def _fd_seek(self, fd: int, offset: int, whence: int, out: int) -> None:
        self._memory.write(_at(out), pack("<Q", self._file(fd).seek(offset, whence)))

    def _fd_sync(self, fd: int) -> None:
        self._file(fd).sync()

    def _fd_readdir(self, fd: int, buffer: int, size: int, cookie: int, used: int) -> None:
        data = b""
        names = self._file(fd).names
        if names is None:
            raise PosixError(Errno.ENOTDIR)
        for index, (name, is_folder) in enumerate(names):
            if index >= cookie:
                text = name.encode("utf-8", "surrogateescape")
                data += pack("<QQIBxxx", index + 1, index + 1, len(text), _FOLDER if is_folder else _FILE) + text
            if len(data) >= size:
                break
        data = data[:size]
        self._memory.write(_at(buffer), data)
        self._put(used, len(data))

    def _path_filestat_get(self, fd: int, _look: int, path: int, size: int, out: int) -> None:
        facts = self._files.stat(self._path(fd, path, size))
        kind = _FOLDER if S_ISDIR(facts.st_mode) else _FILE
        time_ns = facts.st_mtime_ns
        self._memory.write(_at(out), pack("<QQBxxxxxxxQQQQQ", 1, 1, kind, 1, facts.st_size, time_ns, time_ns, time_ns))

    def _path_rename(self, fd: int, path: int, size: int, to_fd: int, to: int, to_size: int) -> None:
        self._files.rename(self._path(fd, path, size), self._path(to_fd, to, to_size))

    def _path_readlink(self, fd: int, path: int, size: int, *_rest: int) -> None:
        self._files.stat(self._path(fd, path, size))
        raise PosixError(Errno.EINVAL)

    # Memory

    def _path(self, fd: int, address: int, size: int) -> str:
        if fd != ROOT_FD:
            raise PosixError(Errno.EBADF)
        return self._memory.read(_at(address), size).decode("utf-8", "surrogateescape")

    def _vectors(self, address: int, count: int) -> list[tuple[int, int]]:
        if not 0 <= count <= _MAX_VECTORS:
            raise PosixError(Errno.EINVAL)
        data = self._memory.read(_at(address), _IOVEC.size * count)
        return [unpack_from("<II", data, _IOVEC.size * index) for index in range(count)]

    def _put(self, address: int, value: int) -> None:
        self._memory.write(_at(address), pack("<I", value))


def _at(address: int) -> int:
    return address & 0xFFFFFFFF
