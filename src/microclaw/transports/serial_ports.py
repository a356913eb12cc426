"""A byte stream to a board, as a serial transport sees it, and the one over TCP. It knows no lines and no JSON."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import termios
import threading
import tty
from collections import deque
from typing import Any, Final, Protocol

from microclaw.transports.address import HostPort

_READ_BYTES: Final = 4096
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


BAUD: Final = 115_200
_POLL_S: Final = 0.2  # how long closing waits for the reading thread at most
_WRITE_S: Final = 5.0
_CHUNK_BYTES: Final = 4096
_MAX_CHUNKS: Final = 64


class ComPort:
    def __init__(self, port: Any) -> None:
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[bytes] = deque()
        self._room = threading.Semaphore(_MAX_CHUNKS)
        self._gone: Exception | None = None
        self._changed = asyncio.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name=f"serial {port.name}", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, name: str, *, is_windows: bool = os.name == "nt") -> ComPort:
        """OSError when the port cannot be opened or another program holds it."""
        opening = asyncio.get_running_loop().run_in_executor(None, _open, name, is_windows)
        try:
            return cls(await asyncio.shield(opening))
        except asyncio.CancelledError:
            opening.add_done_callback(_close_late)  # the thread goes on: what it opens then is not used
            raise

    async def write(self, data: bytes) -> None:
        await asyncio.to_thread(self._port.write, data)

    async def read(self) -> bytes:
        while not self._chunks:
            if self._gone is not None:
                raise self._gone
            self._changed.clear()
            await self._changed.wait()
        self._room.release()
        return self._chunks.popleft()

    async def close(self) -> None:
        self._closing.set()
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._port.close)

    def _listen(self) -> None:
        """In the thread: hand on what comes until the port is closed or gone."""
        while not self._closing.is_set():
            if not self._room.acquire(timeout=_POLL_S):
                continue
            try:
                data = self._port.read(1)
                data += self._port.read(min(self._port.in_waiting, _CHUNK_BYTES)) if data else b""
            except (OSError, TypeError) as exc:  # pyserial closed underneath: TypeError on a handle that is None
                self._tell(self._lost, exc if isinstance(exc, OSError) else EOFError("the port is closed"))
                return
            if data:
                self._tell(self._heard, data)
            else:
                self._room.release()

    def _tell(self, what: Any, value: object) -> None:
        if not self._closing.is_set():
            self._loop.call_soon_threadsafe(what, value)

    def _heard(self, data: bytes) -> None:
        self._chunks.append(data)
        self._changed.set()

    def _lost(self, exc: Exception) -> None:
        self._gone = exc
        self._changed.set()


def control_lines(*, is_windows: bool, manufacturer: str | None) -> tuple[bool, bool]:
    """DTR and RTS at opening so that the board does not reset.

    Elsewhere both asserted, which is idle. A Windows driver raises one after the other, which is a reset in between, so
    both stay down; only Microsoft's own driver serves the chip's USB port, which sends nothing without DTR (found by
    MicroPython, tools/mpremote/mpremote/transport_serial.py).
    """
    asserted = not is_windows or manufacturer == "Microsoft"
    return asserted, asserted


def _close_late(opening: asyncio.Future[Any]) -> None:
    if opening.exception() is None:
        opening.result().close()


def _open(name: str, is_windows: bool) -> Any:
    import serial  # type: ignore[import-untyped]
    from serial.tools.list_ports import comports  # type: ignore[import-untyped]

    maker = next((p.manufacturer for p in comports() if p.device.upper() == name.upper()), None)
    port = serial.Serial(baudrate=BAUD, timeout=_POLL_S, write_timeout=_WRITE_S, exclusive=None if is_windows else True)
    port.port = name
    port.dtr, port.rts = control_lines(is_windows=is_windows, manufacturer=maker)
    port.open()
    return port
