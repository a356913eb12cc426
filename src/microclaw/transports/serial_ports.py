"""Opens a serial port, or TCP in its place, as a byte stream under its address's lock. It knows no lines."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Final, TypeAlias, assert_never

from microclaw.errors import DeviceUnreachable
from microclaw.transports.address import AddressLock, HostPort, close_stream
from microclaw.transports.serial_address import (
    SCHEME,
    TCP_SCHEME,
    ListPorts,
    PortAddress,
    TtyPath,
    UsbId,
    find_usb_port,
    list_ports,
    shown_ports,
)

BAUD: Final = 115_200
OPEN_S: Final = 3.0
_READ_BYTES: Final = 4096
_Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class BytePort:
    """Both directions, with the address's lock until it is closed. OSError or EOFError when the other side is gone."""

    def __init__(self, streams: _Streams, lock: AddressLock | None = None) -> None:
        self._reader, self._writer = streams
        self._lock = lock

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def read(self) -> bytes:
        """At least one byte."""
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise EOFError("the device closed the connection")
        return data

    async def close(self) -> None:
        try:
            await close_stream(self._writer)
        finally:
            if self._lock is not None:
                self._lock.release()


async def open_serial_port(path: str, lock: AddressLock | None = None) -> BytePort:
    """A tty, ours alone among programs that lock what they open, as pyserial's do.

    Opening asserts DTR and RTS in one call, which the two transistors of a dev board's auto-reset circuit, and the
    chip's own USB port, take for idle (ESP32-C6-DevKitC-1 schematic, auto program); closing leaves them as they are, so
    that the next opening changes nothing. OSError when it is no serial port, cannot be opened, or is locked.
    """
    from serialx import PinState, open_serial_connection

    kept = PinState.UNDEFINED
    return BytePort(await open_serial_connection(path, BAUD, dtr_on_close=kept, rts_on_close=kept), lock)


class PortOpener:
    """One address. The lock is of the port, whatever is spoken there."""

    def __init__(
        self,
        address: PortAddress,
        lock_folder: Path,
        *,
        scheme: str = SCHEME,
        list_ports: ListPorts = list_ports,
        tcp_step: str = "",
    ) -> None:
        """`tcp_step`: what to do when an address of TCP does not answer."""
        self.address = address
        self._shown = f"{TCP_SCHEME}{address}" if isinstance(address, HostPort) else str(address)
        self.endpoint = f"{scheme}{self._shown}"
        self._lock_folder = lock_folder
        self._list_ports = list_ports
        self._tcp_step = tcp_step
        self._found_at: str | None = None  # the path behind a USB id

    @property
    def where(self) -> str:
        """The address as typed, and the path that a USB id stands for."""
        return f"{self.endpoint} ({self._found_at})" if self._found_at is not None else self.endpoint

    async def open(self, open_s: float = OPEN_S) -> BytePort:
        """DeviceUnreachable with why: it is not there, another program has it, this user may not."""
        lock = AddressLock(self._lock_folder, f"{SCHEME}{self._shown}")
        await lock.acquire(open_s)
        try:
            async with asyncio.timeout(open_s):
                return await self._open_port(lock)
        except (OSError, TimeoutError) as exc:
            lock.release()
            why = (isinstance(exc, OSError) and exc.strerror) or str(exc) or "no answer"
            raise DeviceUnreachable(f"cannot open {self.where}: {why}", next_step=await self._how_to_open(exc)) from exc
        except BaseException:
            lock.release()
            raise

    async def _open_port(self, lock: AddressLock) -> BytePort:
        match self.address:
            case HostPort(host=host, port=port):
                return BytePort(await asyncio.open_connection(host, port), lock)
            case TtyPath(path=path):
                return await open_serial_port(path, lock)
            case UsbId():
                self._found_at = None
                self._found_at = found = find_usb_port(self.address, await asyncio.to_thread(self._list_ports))
                return await open_serial_port(found, lock)
            case _:
                assert_never(self.address)

    async def _how_to_open(self, exc: Exception) -> str:
        if isinstance(self.address, HostPort):
            return self._tcp_step
        if isinstance(exc, PermissionError):
            return "let your user use serial ports: sudo usermod -aG dialout $USER, then log in again"
        if isinstance(exc, OSError) and exc.errno == errno.EBUSY:
            return "close the serial monitor or flashing tool that has it open"
        return f"is the board plugged in? {shown_ports(await asyncio.to_thread(self._list_ports))}"
