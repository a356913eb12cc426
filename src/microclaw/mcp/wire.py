"""This process's stdin and stdout as lines of the protocol: nothing else can print there. It reads no message.

Threads of their own do the blocking reads and writes, so that files, pipes and terminals all work; they end with the
process.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections.abc import AsyncIterator, Callable
from queue import Queue
from typing import Final

from microclaw.errors import ProtocolError

MAX_LINE_BYTES: Final = 4 << 20
CHUNK_BYTES: Final = 64 << 10
QUEUE: Final = 64  # messages that wait to be read or written; then whoever sends waits
ROOM_S: Final = 0.005  # how often is looked for room in a full queue


class Wire:
    """`Wire.claim()` once; then `first_line`, and `lines()` and `send()` in an event loop."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._rest = bytearray()
        self._ended = False
        self._out: Queue[bytes | None] = Queue(QUEUE)
        self._writer: threading.Thread | None = None
        self._broken = threading.Event()

    @classmethod
    def claim(cls) -> Wire:
        """Take fds 0 and 1: what prints to stdout from now on lands on stderr, who reads stdin finds its end."""
        wire = cls(os.dup(0), os.dup(1))
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        return wire

    @property
    def broken(self) -> bool:
        """Nobody reads what is written."""
        return self._broken.is_set()

    def first_line(self, wait_s: float) -> bytes | None:
        """A line that comes within `wait_s`; None when none does, and at the end."""
        while (line := self._line()) is None and not self._ended:
            if not select.select([self._read_fd], [], [], wait_s)[0]:
                return None
            self._read()
        return line

    def put_back(self, line: bytes) -> None:
        self._rest[:0] = line

    async def lines(self) -> AsyncIterator[bytes]:
        """Until the client closes its end. ProtocolError for a line over the limit, which cannot be passed over."""
        loop = asyncio.get_running_loop()
        found: asyncio.Queue[bytes | ProtocolError | None] = asyncio.Queue()  # at most as long as there is room
        room = threading.Semaphore(QUEUE)

        def put(item: bytes | ProtocolError | None) -> None:
            room.acquire()
            loop.call_soon_threadsafe(found.put_nowait, item)

        threading.Thread(target=self._read_all, args=(put,), name="stdin", daemon=True).start()
        while (line := await found.get()) is not None:
            room.release()
            if isinstance(line, ProtocolError):
                raise line
            yield line

    async def send(self, line: bytes) -> None:
        """Write a line; returns once it has its place in the queue. BrokenPipeError when nobody reads any more."""
        if self._broken.is_set():
            raise BrokenPipeError
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_all, name="stdout", daemon=True)
            self._writer.start()
        while self._out.full():  # noqa: ASYNC110  a thread empties it, and one that waited could not be cancelled
            await asyncio.sleep(ROOM_S)
        self._out.put_nowait(line)

    def send_now(self, line: bytes) -> None:
        """Write a line before the event loop runs."""
        _write(self._write_fd, line)

    def flush(self, wait_s: float) -> None:
        """Let the writer end, for at most `wait_s`."""
        if self._writer is not None and not self._out.full():
            self._out.put_nowait(None)
            self._writer.join(wait_s)

    def _read_all(self, put: Callable[[bytes | ProtocolError | None], None]) -> None:
        try:
            while True:
                while (line := self._line()) is not None:
                    put(line)
                if self._ended:
                    break
                self._read()
            put(None)
        except ProtocolError as exc:
            put(exc)
        except RuntimeError:
            return  # the loop is closed: nobody reads any more

    def _read(self) -> None:
        chunk = os.read(self._read_fd, CHUNK_BYTES)
        self._rest += chunk
        self._ended = not chunk

    def _line(self) -> bytes | None:
        end = self._rest.find(b"\n")
        if end < 0:
            if len(self._rest) > MAX_LINE_BYTES:
                raise ProtocolError(f"the client sent a line of more than {MAX_LINE_BYTES:,} bytes")
            return None
        line = bytes(self._rest[: end + 1])
        del self._rest[: end + 1]
        return line

    def _write_all(self) -> None:
        while (line := self._out.get()) is not None:
            if self._broken.is_set():
                continue
            try:
                _write(self._write_fd, line)
            except OSError:
                self._broken.set()


def _write(fd: int, line: bytes) -> None:
    view = memoryview(line)
    while view:
        view = view[os.write(fd, view) :]
