"""The file half of the firmware's libc extension. What a descriptor stands for: runtime/descriptors.py."""

from __future__ import annotations

from typing import Final

from microclaw.virtual.filesystem import Errno, PosixError
from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.nodes.gpio import GpioFile
from microclaw.virtual.runtime.app import App
from microclaw.wire.wasmachine.ioctl import IoctlCommand

_F_GETFL: Final = 3
_MAX_IO_BYTES: Final = 65_536
_CONSOLE: Final = (1, 2)  # ESP-IDF opens the console first, as 0, 1 and 2


def _open(app: App, path: int, flags: int, _mode: int) -> int:
    name = app.memory.string(path).decode("utf-8", "surrogateescape")
    fd = app.files.open(name, flags & 0xFFFFFFFF)
    if name.startswith("/dev/gpio/"):
        app.pins.add(int(name.rpartition("/")[2]))
    return fd


def _read(app: App, fd: int, buffer: int, size: int) -> int:
    app.now_ms()  # it takes time, as on the device, so that `while (digitalRead(4) == LOW);` ends
    data = app.files.get(fd).read(min(size, _MAX_IO_BYTES))
    app.memory.write(buffer, data)
    return len(data)


def _write(app: App, fd: int, buffer: int, size: int) -> int:
    data = app.memory.read(buffer, min(size, _MAX_IO_BYTES))
    if fd in _CONSOLE:
        app.print(data)
        return len(data)
    file = app.files.get(fd)
    written = file.write(data)
    if isinstance(file, GpioFile) and file.was_changed:
        app.task.reads = 0  # a program that acts does not only wait: its readings stay cheap
    return written


def _pread(app: App, fd: int, buffer: int, size: int, offset: int) -> int:
    file = app.files.storage(fd)
    data = file.at(offset, lambda: file.read(min(size, _MAX_IO_BYTES)))
    app.memory.write(buffer, data)
    return len(data)


def _pwrite(app: App, fd: int, buffer: int, size: int, offset: int) -> int:
    file = app.files.storage(fd)
    data = app.memory.read(buffer, min(size, _MAX_IO_BYTES))
    return file.at(offset, lambda: file.write(data))


def _fcntl(app: App, fd: int, command: int, _argument: int) -> None:
    app.files.get(fd)
    if command != _F_GETFL:
        raise PosixError(Errno.ENOSYS)


def _ioctl(app: App, fd: int, command: int, va: int) -> None:
    if command not in IoctlCommand.__members__.values():
        raise PosixError(Errno.EINVAL)
    app.files.get(fd).ioctl(app, command, va)


HANDLERS: dict[str, Handler] = {
    "open": _open,
    "read": _read,
    "write": _write,
    "pread": _pread,
    "pwrite": _pwrite,
    "lseek": lambda app, fd, offset, whence: app.files.storage(fd).seek(offset, whence),
    "fcntl": _fcntl,
    "fsync": lambda app, fd: app.files.storage(fd).sync(),
    "close": lambda app, fd: app.files.close(fd),
    "ioctl": _ioctl,
    "fstat": lambda _app, _fd, _out: -1,  # the firmware does not support it and says so on its console only
}
