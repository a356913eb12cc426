"""Byte streams to a board: over TCP, and through pyserial where there is no termios (COM3). They know no lines."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from typing import Any, Final, Protocol

from microclaw.transports.address import HostPort, close_stream

_READ_BYTES: Final = 4096


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
        await close_stream(self._writer)


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
