"""A serial device or pty of a POSIX system, by termios and the event loop. Windows has no termios: see ComPort."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import termios
import tty
from typing import Final

_READ_BYTES: Final = 4096
_MAX_BUFFERED_BYTES: Final = 256 * 1024


class TtyPort:
    """A tty in raw mode at 115200 baud, ours alone among programs that lock what they open, as pyserial's do.

    Opening asserts DTR and RTS together, which the two transistors of a dev board's auto-reset circuit, and the chip's
    own USB port, take for idle (ESP32-C6-DevKitC-1 schematic, auto program). So nothing here sets one without the
    other: no hardware flow control, and closing leaves both as they are (no HUPCL), so that the next opening changes
    nothing.
    """

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._gone: OSError | EOFError | None = None
        self._changed = asyncio.Event()
        self._loop.add_reader(fd, self._readable)

    @classmethod
    def open(cls, path: str) -> TtyPort:
        """OSError when the path is no tty, cannot be opened, or another program holds it."""
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _make_ours(fd)
            _make_raw(fd)
            return cls(fd)
        except termios.error as exc:
            os.close(fd)
            raise OSError(exc.args[0], f"not a serial port ({exc.args[1]})") from exc
        except BaseException:
            os.close(fd)
            raise

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._open_fd(), view) :]
            except BlockingIOError:
                await self._writable()

    async def read(self) -> bytes:
        while not self._buffer:
            if self._gone is not None:
                raise self._gone
            self._changed.clear()
            await self._changed.wait()
        data = bytes(self._buffer)
        self._buffer.clear()
        self._loop.add_reader(self._open_fd(), self._readable)
        return data

    async def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)
            os.close(fd)

    def _open_fd(self) -> int:
        if self._fd is None:
            raise EOFError("the port is closed")
        return self._fd

    def _readable(self) -> None:
        fd = self._open_fd()
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as exc:  # EIO: the pty's other end or the USB device is gone
            self._gone = exc
        else:
            self._buffer += data
            if not data:
                self._gone = EOFError("the device closed the port")
        if self._gone is not None or len(self._buffer) >= _MAX_BUFFERED_BYTES:
            self._loop.remove_reader(fd)
        self._changed.set()

    async def _writable(self) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        fd = self._open_fd()
        self._loop.add_writer(fd, _wake, ready)
        try:
            await ready
        finally:
            self._loop.remove_writer(fd)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _make_ours(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise OSError(errno.EBUSY, "another program has it open") from exc


def _make_raw(fd: int) -> None:
    tty.setraw(fd, termios.TCSANOW)
    iflag, oflag, cflag, lflag, _ispeed, _ospeed, cc = termios.tcgetattr(fd)
    cflag = (cflag | termios.CLOCAL | termios.CREAD) & ~(termios.HUPCL | termios.CRTSCTS)
    termios.tcsetattr(fd, termios.TCSANOW, [iflag, oflag, cflag, lflag, termios.B115200, termios.B115200, cc])
    with contextlib.suppress(termios.error):
        termios.tcflush(fd, termios.TCIFLUSH)
