"""The file half of the firmware's libc extension. What a descriptor stands for: runtime/descriptors.py."""

from __future__ import annotations

from typing import Final

from microclaw.virtual.filesystem import Errno, PosixError
from microclaw.virtual.runtime.binding import Handler
from microclaw.virtual.runtime.exec_env import ExecEnv
from microclaw.wire.wasmachine.ioctl import IoctlCommand

_F_GETFL: Final = 3
_MAX_IO_BYTES: Final = 65_536
_CONSOLE: Final = (1, 2)
"""ESP-IDF opens the console first, as 0, 1 and 2."""


def _open(env: ExecEnv, path: int, flags: int, _mode: int) -> int:
    name = env.memory.string(path).decode("utf-8", "surrogateescape")
    return env.files.open(name, flags & 0xFFFFFFFF)


def _read(env: ExecEnv, fd: int, buffer: int, size: int) -> int:
    # It takes time, as on the device, so that `while (digitalRead(4) == LOW);` ends.
    env.time.now_ms()
    data = env.files.get(fd).read(min(size, _MAX_IO_BYTES))
    env.memory.write(buffer, data)
    return len(data)


def _write(env: ExecEnv, fd: int, buffer: int, size: int) -> int:
    data = env.memory.read(buffer, min(size, _MAX_IO_BYTES))
    if fd in _CONSOLE:
        env.print(data)
        return len(data)
    return env.files.get(fd).write(data)


def _pread(env: ExecEnv, fd: int, buffer: int, size: int, offset: int) -> int:
    file = env.files.storage(fd)
    data = file.at(offset, lambda: file.read(min(size, _MAX_IO_BYTES)))
    env.memory.write(buffer, data)
    return len(data)


def _pwrite(env: ExecEnv, fd: int, buffer: int, size: int, offset: int) -> int:
    file = env.files.storage(fd)
    data = env.memory.read(buffer, min(size, _MAX_IO_BYTES))
    return file.at(offset, lambda: file.write(data))


def _fcntl(env: ExecEnv, fd: int, command: int, _argument: int) -> None:
    env.files.get(fd)
    if command != _F_GETFL:
        raise PosixError(Errno.ENOSYS)


def _ioctl(env: ExecEnv, fd: int, command: int, va: int) -> None:
    if command not in IoctlCommand.__members__.values():
        raise PosixError(Errno.EINVAL)
    env.files.device(fd).ioctl(command, va)


HANDLERS: dict[str, Handler] = {
    "open": _open,
    "read": _read,
    "write": _write,
    "pread": _pread,
    "pwrite": _pwrite,
    "lseek": lambda env, fd, offset, whence: env.files.storage(fd).seek(offset, whence),
    "fcntl": _fcntl,
    "fsync": lambda env, fd: env.files.storage(fd).sync(),
    "close": lambda env, fd: env.files.close(fd),
    "ioctl": _ioctl,
    # The firmware does not support it and says so on its console only.
    "fstat": lambda _env, _fd, _out: -1,
}
