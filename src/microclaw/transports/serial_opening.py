"""Opens a serial port under its lock, and says what to do when it does not open. It reads and writes nothing."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Final, assert_never

from microclaw.errors import DeviceUnreachable
from microclaw.transports.address import AddressLock, HostPort
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
from microclaw.transports.serial_ports import BytePort, open_serial_port, open_tcp_port

OPEN_S: Final = 3.0


class PortOpener:
    """One address. The lock is of the port, whatever is spoken there; it is held from `open` to `release`."""

    def __init__(
        self,
        address: PortAddress,
        lock_folder: Path,
        *,
        scheme: str = SCHEME,
        list_ports: ListPorts = list_ports,
        tcp_step: str,
    ) -> None:
        """`tcp_step`: what to do when an address of TCP does not answer."""
        self.address = address
        shown = f"{TCP_SCHEME}{address}" if isinstance(address, HostPort) else str(address)
        self.endpoint = f"{scheme}{shown}"
        self._lock = AddressLock(lock_folder, f"{SCHEME}{shown}")
        self._list_ports = list_ports
        self._tcp_step = tcp_step
        self._found_at: str | None = None  # the path behind a USB id

    @property
    def where(self) -> str:
        """The address as typed, and the path that a USB id stands for."""
        return f"{self.endpoint} ({self._found_at})" if self._found_at is not None else self.endpoint

    async def open(self, open_s: float = OPEN_S) -> BytePort:
        """DeviceUnreachable with why: it is not there, another program has it, this user may not."""
        await self._lock.acquire(open_s)
        try:
            async with asyncio.timeout(open_s):
                return await self._open_port()
        except (OSError, TimeoutError) as exc:
            self._lock.release()
            why = (isinstance(exc, OSError) and exc.strerror) or str(exc) or "no answer"
            raise DeviceUnreachable(f"cannot open {self.where}: {why}", next_step=await self._how_to_open(exc)) from exc
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        self._lock.release()

    async def _open_port(self) -> BytePort:
        match self.address:
            case HostPort():
                return await open_tcp_port(self.address)
            case TtyPath(path=path):
                return await open_serial_port(path)
            case UsbId():
                self._found_at = None
                self._found_at = found = find_usb_port(self.address, await asyncio.to_thread(self._list_ports))
                return await open_serial_port(found)
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
