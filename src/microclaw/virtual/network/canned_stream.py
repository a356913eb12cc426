"""A connection of the canned network as http.client uses a socket, in the app's own thread and on the board's clock."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.runtime.program_time import ProgramTime

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

POLL_MS: Final = 5.0


class CannedStream:
    """`timeout_ms` is that of each read. Raises OSError if no line is for the host, or it refuses."""

    def __init__(self, network: CannedNetwork, time: ProgramTime, host: str, port: int, timeout_ms: int) -> None:
        self._network = network
        self._time = time
        self._timeout_ms = timeout_ms
        network.check_place(host, port)
        self._handle = network.connect(network.look_up(host), port)
        try:
            network.is_open(self._handle)
        except OSError:
            self.close()
            raise

    def sendall(self, data: ReadableBuffer) -> None:
        """Send everything: the peers of a canned network take it at once."""
        self._network.send(self._handle, bytes(data))

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what http.client reads the answer from; the connection is closed by `close` alone."""
        return io.BufferedReader(_Reader(self))

    def receive(self, most: int) -> bytes:
        """Wait for bytes; b"" at the end. Raises TimeoutError, or Interrupted if the app is ended."""
        waited_ms = 0.0
        while waited_ms < self._timeout_ms:
            data = self._network.receive(self._handle, most)
            if data is not None:
                return data
            self._time.sleep(POLL_MS)
            waited_ms += POLL_MS
        raise TimeoutError("timed out")

    def close(self) -> None:
        self._network.close(self._handle)


class _Reader(io.RawIOBase):
    def __init__(self, stream: CannedStream) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        room = memoryview(buffer).cast("B")
        data = self._stream.receive(len(room))
        room[: len(data)] = data
        return len(data)
