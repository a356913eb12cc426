"""The serial ports of this machine by address (a path, a USB id, TCP), opened as byte streams under a lock.

A USB id stays the same if this or another board is plugged in again, which a path such as /dev/ttyACM0 may not.
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias, assert_never

from msgspec import Struct

from microclaw.devices.transports.address import AddressLock, HostPort, close_stream, parse_host_port
from microclaw.errors import ConfigError, DeviceUnreachable

SCHEME: Final = "serial:"
TCP_SCHEME: Final = "tcp://"
_USB = re.compile(r"usb-([0-9A-Fa-f]{4}):([0-9A-Fa-f]{4})(?::([ -~]{1,128}))?")
_SHOWN = 8


class TtyPath(Struct, frozen=True):
    path: str

    def __str__(self) -> str:
        return self.path


class UsbId(Struct, frozen=True):
    """A USB id: `usb-303a:1001:F4:12:FA:01:02:03`. Without a serial number it is the only port with the two ids."""

    vid: int
    pid: int
    serial: str | None = None

    def __str__(self) -> str:
        ids = f"usb-{self.vid:04x}:{self.pid:04x}"
        if self.serial is not None:
            return f"{ids}:{self.serial}"
        return ids


class PortInfo(Struct, frozen=True):
    """A port of this machine: its path or name, and its USB id if it has one."""

    device: str
    usb: UsbId | None = None


PortAddress: TypeAlias = HostPort | TtyPath | UsbId
ListPorts: TypeAlias = Callable[[], Iterable[PortInfo]]


def parse_port_address(address: str) -> PortAddress:
    """Parse serial:/dev/ttyACM0, serial:usb-VID:PID:SERIAL or serial:tcp://host:port. Raises ConfigError."""
    rest = address.removeprefix(SCHEME)
    if rest.startswith(TCP_SCHEME):
        return parse_host_port(rest.removeprefix(TCP_SCHEME))
    usb = _USB.fullmatch(rest)
    if usb:
        return UsbId(int(usb[1], 16), int(usb[2], 16), usb[3])
    if not rest.startswith("/") or "\0" in rest:
        step = "write serial:/dev/ttyACM0, serial:usb-VID:PID:SERIAL or serial:tcp://HOST:PORT"
        raise ConfigError(f"{address!r} is not a serial port", next_step=step)
    return TtyPath(rest)


def list_ports() -> tuple[PortInfo, ...]:
    """List the serial ports of this machine from the system's own lists, without opening one."""
    from serialx import list_serial_ports

    ports = []
    for port in sorted(list_serial_ports(), key=lambda port: port.resolved_device):
        usb = None
        if port.vid is not None and port.pid is not None:
            usb = UsbId(port.vid, port.pid, port.serial_number or None)
        ports.append(PortInfo(port.resolved_device, usb))
    return tuple(ports)


def find_usb_port(wanted: UsbId, ports: Iterable[PortInfo]) -> str:
    """Return the path or name of the port with a USB id. Raises DeviceUnreachable if none or several have it."""
    all_ports = tuple(ports)
    matches = [port for port in all_ports if port.usb is not None and _matches(port.usb, wanted)]
    if len(matches) == 1:
        return matches[0].device
    if not matches:
        text = f"no serial port has the USB id {wanted}"
        raise DeviceUnreachable(text, next_step=f"is the board plugged in? {describe_ports(all_ports)}")
    text = f"{len(matches)} serial ports have the USB id {wanted}"
    raise DeviceUnreachable(
        text, next_step=f"name one with its serial number, or by its path: {describe_ports(matches)}"
    )


def describe_ports(ports: Iterable[PortInfo]) -> str:
    """Return the text "ports here: /dev/ttyACM0 (usb-303a:1001:...), /dev/ttyS0", of up to 8 ports."""
    names = []
    for port in ports:
        if port.usb is None:
            names.append(port.device)
        else:
            names.append(f"{port.device} ({port.usb})")
    if not names:
        return "this machine shows no serial port"
    text = f"ports here: {', '.join(names[:_SHOWN])}"
    if len(names) > _SHOWN:
        text += f" and {len(names) - _SHOWN} more"
    return text


def _matches(usb: UsbId, wanted: UsbId) -> bool:
    if usb.vid != wanted.vid or usb.pid != wanted.pid:
        return False
    if wanted.serial is None:
        return True
    return (usb.serial or "").upper() == wanted.serial.upper()


BAUD: Final = 115_200
OPEN_S: Final = 10.0
_READ_BYTES: Final = 4096
_Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class BytePort:
    """An open port with its address's lock. Raises OSError or EOFError if the other side has left."""

    def __init__(self, streams: _Streams, lock: AddressLock | None = None) -> None:
        self._reader, self._writer = streams
        self._lock = lock

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def read(self) -> bytes:
        """Wait for bytes, and return at least one. Raises EOFError at the end."""
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
    """Open a tty, and lock it against other programs that lock ports, as pyserial's do.

    Opening asserts DTR and RTS in one call, which is idle for the two transistors of a dev board's auto-reset circuit
    and for the chip's own USB port (ESP32-C6-DevKitC-1 schematic, auto program). Closing leaves them unchanged, so that
    the next opening changes nothing. Raises OSError if it is not a serial port, cannot be opened, or is locked.
    """
    from serialx import PinState, open_serial_connection

    unchanged = PinState.UNDEFINED
    streams = await open_serial_connection(path, BAUD, dtr_on_close=unchanged, rts_on_close=unchanged)
    return BytePort(streams, lock)


class PortOpener:
    """The opener of one address. The lock belongs to the port, with any protocol."""

    def __init__(
        self,
        address: PortAddress,
        lock_folder: Path,
        *,
        scheme: str = SCHEME,
        list_ports: ListPorts = list_ports,
        tcp_step: str = "",
    ) -> None:
        """Create it. `tcp_step` is the next step in the error if a TCP address does not answer."""
        self.address = address
        if isinstance(address, HostPort):
            self._shown = f"{TCP_SCHEME}{address}"
        else:
            self._shown = str(address)
        self.endpoint = f"{scheme}{self._shown}"
        self._lock_folder = lock_folder
        self._list_ports = list_ports
        self._tcp_step = tcp_step
        # The path of the port with a USB id.
        self._usb_path: str | None = None

    @property
    def where(self) -> str:
        """The address as typed, and the path of a USB id."""
        if self._usb_path is not None:
            return f"{self.endpoint} ({self._usb_path})"
        return self.endpoint

    async def open(self, open_s: float = OPEN_S) -> BytePort:
        """Open the port. Raises DeviceUnreachable if it is missing, in use, or not allowed for this user."""
        lock = AddressLock(self._lock_folder, f"{SCHEME}{self._shown}")
        await lock.acquire(open_s)
        try:
            async with asyncio.timeout(open_s):
                return await self._open_port(lock)
        except BaseException as exc:
            lock.release()
            # TimeoutError is an OSError too.
            if not isinstance(exc, OSError):
                raise
            reason = exc.strerror or str(exc) or "no answer"
            step = await self._next_step(exc)
            raise DeviceUnreachable(f"cannot open {self.where}: {reason}", next_step=step) from exc

    async def _open_port(self, lock: AddressLock) -> BytePort:
        match self.address:
            case HostPort(host=host, port=port):
                return BytePort(await asyncio.open_connection(host, port), lock)
            case TtyPath(path=path):
                return await open_serial_port(path, lock)
            case UsbId():
                self._usb_path = None
                ports = await asyncio.to_thread(self._list_ports)
                self._usb_path = find_usb_port(self.address, ports)
                return await open_serial_port(self._usb_path, lock)
            case _:
                assert_never(self.address)

    async def _next_step(self, exc: OSError) -> str:
        if isinstance(self.address, HostPort):
            return self._tcp_step
        if isinstance(exc, PermissionError):
            return "let your user use serial ports: sudo usermod -aG dialout $USER, then log in again"
        if exc.errno == errno.EBUSY:
            return "close the serial monitor or flashing tool that has it open"
        return f"is the board plugged in? {describe_ports(await asyncio.to_thread(self._list_ports))}"
