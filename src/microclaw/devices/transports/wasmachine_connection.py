"""The TCP connection to an ESP-WASMachine application manager: sends frames, returns their answers, knows no methods.

Firmware serves one client at a time, so an idle connection is closed after `idle_s`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from microclaw.devices.transports.address import AddressLock, HostPort, close_stream
from microclaw.errors import DeviceUnreachable, ProtocolError
from microclaw.wire.wasmachine.frame import FrameDecoder, MessageType
from microclaw.wire.wasmachine.request import Response

MAX_ANSWER_BYTES: Final = 256 * 1024
_READ_BYTES: Final = 64 * 1024
# Linux: the number of bytes that the peer's TCP has not acknowledged (linux/sockios.h, = TIOCOUTQ).
_SIOCOUTQ: Final = 0x5411


class Timeouts(Struct, frozen=True):
    connect_s: float = 3.0
    answer_s: float = 10.0
    # Bytes sent in the first moments after a boot can vanish: a query asks again on a fresh connection after this.
    first_query_s: float = 4.0
    # A program answers at once, or computes, or keeps no log.
    log_s: float = 1.5
    idle_s: float = 2.0
    # Far below the rate of a board on a poor Wi-Fi.
    install_bytes_a_second: int = 50_000

    def install_s(self, size_bytes: int) -> float:
        return self.answer_s + size_bytes / self.install_bytes_a_second


class NoAnswer(Exception):
    """The exchange failed after it began.

    `delivered`: the device's TCP has every byte, so its parser is not stuck. `silent`: it accepted the connection and
    then answered nothing until the time-out.
    """

    def __init__(self, reason: str, *, delivered: bool, silent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.delivered = delivered
        self.silent = silent


class WasmachineConnection:
    """The connection of one address, which requests open if necessary.

    One caller at a time calls `exchange`, `begin`, `open` and `send_only`; answers of `begin` come meanwhile.
    """

    def __init__(self, address: HostPort, lock: AddressLock, timeouts: Timeouts) -> None:
        self.address = address
        self.timeouts = timeouts
        self._lock = lock
        self._writer: asyncio.StreamWriter | None = None
        self._decoder = FrameDecoder(MAX_ANSWER_BYTES)
        self._reading: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[Response]] = {}
        self._idle: asyncio.TimerHandle | None = None
        self._garbled = False

    @property
    def garbled(self) -> bool:
        """True if the peer of the last connection sent bytes that are not WASMachine frames."""
        return self._garbled or self._decoder.skipped_bytes > 0

    async def exchange(self, frame: bytes, mid: int, timeout_s: float) -> Response:
        """Send one frame, and wait for the answer with its mid. The connection is closed if none comes.

        Raises DeviceUnreachable if nothing was sent, else NoAnswer.
        """
        await self.open()
        try:
            with self._raising_no_answer(timeout_s):
                async with asyncio.timeout(timeout_s):
                    answer = await self._request(frame, mid)
                    return await answer
        except BaseException:
            await self.close()
            raise
        finally:
            self._forget(mid)

    async def begin(self, frame: bytes, mid: int, timeout_s: float) -> asyncio.Future[Response]:
        """Send one frame, and return what `finish` waits for. Raises as `exchange` does."""
        await self.open()
        try:
            with self._raising_no_answer(timeout_s):
                async with asyncio.timeout(timeout_s):
                    return await self._request(frame, mid)
        except BaseException:
            self._forget(mid)
            await self.close()
            raise

    async def finish(self, answer: asyncio.Future[Response], mid: int, timeout_s: float) -> Response:
        """Wait for the answer to a request that `begin` sent. Raises NoAnswer; the connection stays for others."""
        try:
            with self._raising_no_answer(timeout_s):
                async with asyncio.timeout(timeout_s):
                    return await answer
        finally:
            self._forget(mid)

    async def open(self) -> None:
        """Open the connection and take the address lock, before the next exchange. Raises DeviceUnreachable."""
        self._stop_idle_timer()
        if self._writer is not None and self._reading is not None:
            if not self._writer.is_closing() and not self._reading.done():
                return
            await self.close()
        await self._lock.acquire(self.timeouts.connect_s)
        try:
            async with asyncio.timeout(self.timeouts.connect_s):
                reader, self._writer = await asyncio.open_connection(self.address.host, self.address.port)
        except BaseException as exc:
            self._lock.release()
            if not isinstance(exc, OSError):
                raise
            reason = "no answer" if isinstance(exc, TimeoutError) else _reason(exc)
            step = "is the board powered, on this network, and its WASMachine started (sta -s SSID -p PASS)?"
            raise DeviceUnreachable(f"cannot reach {self.address}: {reason}", next_step=step) from exc
        self._decoder = FrameDecoder(MAX_ANSWER_BYTES)
        self._garbled = False
        self._reading = asyncio.create_task(self._read_answers(reader), name=f"answers of {self.address}")

    async def send_only(self, data: bytes, timeout_s: float) -> None:
        """Send bytes that get no answer (the padding of a recovery). Raises NoAnswer if the connection breaks."""
        await self.open()
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(data)
        except (TimeoutError, OSError) as exc:
            await self.close()
            raise NoAnswer(f"the connection broke: {exc}", delivered=False) from exc

    async def close(self) -> None:
        """Close the connection. Unsent bytes are dropped, and no request gets an answer any more."""
        self._stop_idle_timer()
        writer = self._writer
        self._let_go()
        if writer is not None:
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()
            await close_stream(writer)

    def _let_go(self) -> None:
        reading = self._reading
        self._writer = None
        self._reading = None
        self._lock.release()
        if reading is not None:
            reading.cancel()
        self._fail_answers(EOFError("it was closed"))

    @contextmanager
    def _raising_no_answer(self, timeout_s: float) -> Iterator[None]:
        try:
            yield
        except TimeoutError as exc:
            reason = f"no answer within {timeout_s:g} s" + self._skipped_note()
            raise NoAnswer(reason, delivered=self._is_delivered(), silent=not self.garbled) from exc
        except ProtocolError as exc:
            self._garbled = True
            reason = f"it answered with something else than WASMachine frames: {exc.message}"
            raise NoAnswer(reason, delivered=False) from exc
        except (OSError, EOFError) as exc:
            raise NoAnswer(f"the connection broke: {exc}", delivered=False) from exc

    async def _request(self, frame: bytes, mid: int) -> asyncio.Future[Response]:
        """Send a frame, and return what gets its answer."""
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_take_error)
        self._answers[mid] = answer
        await self._send(frame)
        return answer

    async def _send(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)
        await self._writer.drain()

    async def _read_answers(self, reader: asyncio.StreamReader) -> None:
        """Give each answer to its request, until the connection ends.

        Skips old answers of an earlier connection, and messages of apps.
        """
        decoder = self._decoder
        try:
            while True:
                while (frame := decoder.next_frame()) is not None:
                    if frame.type == MessageType.RESPONSE:
                        self._take_response(Response.decode(frame.payload))
                data = await reader.read(_READ_BYTES)
                if not data:
                    raise EOFError("the device closed it" + self._skipped_note())
                decoder.receive(data)
        except (ProtocolError, OSError, EOFError) as exc:
            self._fail_answers(exc)

    def _take_response(self, response: Response) -> None:
        answer = self._answers.get(response.mid)
        if answer is not None and not answer.done():
            answer.set_result(response)

    def _fail_answers(self, error: Exception) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(error)

    def _forget(self, mid: int) -> None:
        """End a request; after the last one the connection is given back when it was idle for a while."""
        self._answers.pop(mid, None)
        if self._writer is not None and not self._answers:
            self._stop_idle_timer()
            self._idle = asyncio.get_running_loop().call_later(self.timeouts.idle_s, self._close_idle)

    def _is_delivered(self) -> bool:
        """Return True if the device's TCP acknowledged every byte, False if it did not or if that is unknown."""
        if self._writer is None or self._writer.transport.get_write_buffer_size():
            return False
        sock: socket.socket | None = self._writer.get_extra_info("socket")
        if sock is None or not sys.platform.startswith("linux"):
            return False
        try:
            answer = fcntl.ioctl(sock.fileno(), _SIOCOUTQ, bytes(4))
        except OSError:
            return False
        pending_bytes: int = struct.unpack("i", answer)[0]
        return pending_bytes == 0

    def _skipped_note(self) -> str:
        skipped_bytes = self._decoder.skipped_bytes
        if skipped_bytes:
            return f" ({skipped_bytes} bytes that are no WASMachine frame came instead)"
        return ""

    def _stop_idle_timer(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _close_idle(self) -> None:
        self._idle = None
        if self._writer is not None:
            self._writer.close()
        self._let_go()


def _take_error(answer: asyncio.Future[Response]) -> None:
    if not answer.cancelled():
        # If its caller has left, asyncio would report the error.
        answer.exception()


def _reason(exc: OSError) -> str:
    """Return a reason such as "Connection refused". asyncio's own text repeats the address and has no reason."""
    if isinstance(exc, socket.gaierror) or exc.errno is None:
        return exc.strerror or str(exc)
    return os.strerror(exc.errno)
