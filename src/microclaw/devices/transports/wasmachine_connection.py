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
    """The connection of one address, which `exchange` opens if necessary. Not for concurrent use."""

    def __init__(self, address: HostPort, lock: AddressLock, timeouts: Timeouts) -> None:
        self.address = address
        self.timeouts = timeouts
        self._lock = lock
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._decoder = FrameDecoder(MAX_ANSWER_BYTES)
        self._idle: asyncio.TimerHandle | None = None
        self._garbled = False

    @property
    def garbled(self) -> bool:
        """True if the peer of the last connection sent bytes that are not WASMachine frames."""
        return self._garbled or self._decoder.skipped_bytes > 0

    async def exchange(self, frame: bytes, mid: int, timeout_s: float) -> Response:
        """Send one frame, and wait for the answer with its mid.

        Raises DeviceUnreachable if nothing was sent, else NoAnswer.
        """
        await self.open()
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(frame)
                response = await self._answer(mid)
        except TimeoutError:
            reason = f"no answer within {timeout_s:g} s" + self._skipped_note()
            failure = NoAnswer(reason, delivered=self._is_delivered(), silent=not self.garbled)
        except ProtocolError as exc:
            self._garbled = True
            reason = f"it answered with something else than WASMachine frames: {exc.message}"
            failure = NoAnswer(reason, delivered=False)
        except (OSError, EOFError) as exc:
            failure = NoAnswer(f"the connection broke: {exc}", delivered=False)
        except BaseException:
            await self.close()
            raise
        else:
            self._idle = asyncio.get_running_loop().call_later(self.timeouts.idle_s, self._close_idle)
            return response
        await self.close()
        raise failure

    async def open(self) -> None:
        """Open the connection and take the address lock, before the next exchange. Raises DeviceUnreachable."""
        self._stop_idle_timer()
        if self._writer is not None and self._reader is not None:
            if not self._writer.is_closing() and not self._reader.at_eof():
                return
            await self.close()
        await self._lock.acquire(self.timeouts.connect_s)
        try:
            async with asyncio.timeout(self.timeouts.connect_s):
                self._reader, self._writer = await asyncio.open_connection(self.address.host, self.address.port)
        except BaseException as exc:
            self._lock.release()
            if not isinstance(exc, OSError):
                raise
            reason = "no answer" if isinstance(exc, TimeoutError) else _reason(exc)
            step = "is the board powered, on this network, and its WASMachine started (sta -s SSID -p PASS)?"
            raise DeviceUnreachable(f"cannot reach {self.address}: {reason}", next_step=step) from exc
        self._decoder = FrameDecoder(MAX_ANSWER_BYTES)
        self._garbled = False

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
        """Close the connection. Unsent bytes are dropped."""
        self._stop_idle_timer()
        writer = self._writer
        self._writer = None
        self._reader = None
        self._lock.release()
        if writer is not None:
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()
            await close_stream(writer)

    async def _send(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)
        await self._writer.drain()

    async def _answer(self, mid: int) -> Response:
        """Return the answer of this request. Skips old answers of an earlier connection, and messages of apps."""
        while True:
            while (frame := self._decoder.next_frame()) is not None:
                if frame.type != MessageType.RESPONSE:
                    continue
                response = Response.decode(frame.payload)
                if response.mid == mid:
                    return response
            assert self._reader is not None
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise EOFError("the device closed it" + self._skipped_note())
            self._decoder.receive(data)

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
            self._writer = None
            self._reader = None
        self._lock.release()


def _reason(exc: OSError) -> str:
    """Return a reason such as "Connection refused". asyncio's own text repeats the address and has no reason."""
    if isinstance(exc, socket.gaierror) or exc.errno is None:
        return exc.strerror or str(exc)
    return os.strerror(exc.errno)
