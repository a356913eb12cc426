"""A byte stream to a board: a serial device or pty by termios, or TCP. It knows no lines and no JSON."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
import tty
from typing import Final, Protocol

from microclaw.faces.address import HostPort

_READ_BYTES: Final = 4096
_MAX_BUFFERED_BYTES: Final = 256 * 1024
_CLOSE_S: Final = 1.0


class SerialPort(Protocol):
    """OSError or EOFError when the other side is gone."""

    async def write(self, data: bytes) -> None:
        """One write call for the whole of `data` wherever the system lets us."""

    async def read(self) -> bytes:
        """At least one byte."""

    async def close(self) -> None: ...


class TcpPort:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: HostPort) -> TcpPort:
        return cls(*await asyncio.open_connection(address.host, address.port))

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def read(self) -> bytes:
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise EOFError("the device closed the connection")
        return data

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()


class TtyPort:
    """A tty in raw mode at 115200 baud; closing it leaves DTR alone, so that it does not reset the board."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._gone: OSError | EOFError | None = None
        self._changed = asyncio.Event()
        self._loop.add_reader(fd, self._readable)

    @classmethod
    def open(cls, path: str) -> TtyPort:
        """OSError when the path is no tty or cannot be opened."""
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
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


def _make_raw(fd: int) -> None:
    tty.setraw(fd, termios.TCSANOW)
    iflag, oflag, cflag, lflag, _ispeed, _ospeed, cc = termios.tcgetattr(fd)
    cflag = (cflag | termios.CLOCAL | termios.CREAD) & ~termios.HUPCL
    termios.tcsetattr(fd, termios.TCSANOW, [iflag, oflag, cflag, lflag, termios.B115200, termios.B115200, cc])
    with contextlib.suppress(termios.error):
        termios.tcflush(fd, termios.TCIFLUSH)
