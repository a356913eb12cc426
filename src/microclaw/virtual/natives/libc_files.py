"""The file half of the firmware's libc extension. What a descriptor stands for: runtime.files."""

from __future__ import annotations

from typing import Final

from microclaw.virtual.filesystem import Errno, PosixError
from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.nodes.gpio import GpioFile
from microclaw.virtual.runtime.process import Process
from microclaw.wire.wasmachine.ioctl import IoctlCommand

_F_GETFL: Final = 3
_MAX_IO_BYTES: Final = 65_536
_CONSOLE: Final = (1, 2)  # ESP-IDF opens the console first, as 0, 1 and 2


def _open(process: Process, path: int, flags: int, _mode: int) -> int:
    name = process.memory.string(path).decode("utf-8", "surrogateescape")
    fd = process.files.open(name, flags & 0xFFFFFFFF)
    if name.startswith("/dev/gpio/"):
        process.pins.add(int(name.rpartition("/")[2]))
    return fd


def _read(process: Process, fd: int, buffer: int, size: int) -> int:
    process.now_ms()  # it takes time, as on the device, so that `while (digitalRead(4) == LOW);` ends
    data = process.files.get(fd).read(min(size, _MAX_IO_BYTES))
    process.memory.write(buffer, data)
    return len(data)


def _write(process: Process, fd: int, buffer: int, size: int) -> int:
    data = process.memory.read(buffer, min(size, _MAX_IO_BYTES))
    if fd in _CONSOLE:
        process.print(data)
        return len(data)
    file = process.files.get(fd)
    written = file.write(data)
    if isinstance(file, GpioFile) and file.was_changed:
        process.task.reads = 0  # a program that acts does not only wait: its readings stay cheap
    return written


def _pread(process: Process, fd: int, buffer: int, size: int, offset: int) -> int:
    file = process.files.storage(fd)
    data = file.at(offset, lambda: file.read(min(size, _MAX_IO_BYTES)))
    process.memory.write(buffer, data)
    return len(data)


def _pwrite(process: Process, fd: int, buffer: int, size: int, offset: int) -> int:
    file, data = process.files.storage(fd), process.memory.read(buffer, min(size, _MAX_IO_BYTES))
    return file.at(offset, lambda: file.write(data))


def _fcntl(process: Process, fd: int, command: int, _argument: int) -> int:
    process.files.get(fd)
    if command != _F_GETFL:
        raise PosixError(Errno.ENOSYS)
    return 0


def _fsync(process: Process, fd: int) -> int:
    process.files.storage(fd).sync()
    return 0


def _close(process: Process, fd: int) -> int:
    process.files.close(fd)
    return 0


def _ioctl(process: Process, fd: int, command: int, va: int) -> int:
    if command not in IoctlCommand.__members__.values():
        raise PosixError(Errno.EINVAL)
    process.files.get(fd).ioctl(process, command, va)
    return 0


HANDLERS: dict[str, Handler] = {
    "open": _open,
    "read": _read,
    "write": _write,
    "pread": _pread,
    "pwrite": _pwrite,
    "lseek": lambda process, fd, offset, whence: process.files.storage(fd).seek(offset, whence),
    "fcntl": _fcntl,
    "fsync": _fsync,
    "close": _close,
    "ioctl": _ioctl,
    "fstat": lambda _process, _fd, _out: -1,  # the firmware does not support it and says so on its console only
}
