"""The serial ports of this machine by their addresses (a path, a USB id, TCP), each opened as a byte stream under its
address's lock. It knows no lines.

A USB id outlives re-plugging and other boards' comings and goings, which a path such as /dev/ttyACM0 does not.
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias, assert_never

from msgspec import Struct

from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.transports.address import AddressLock, HostPort, close_stream, parse_host_port

SCHEME: Final = "serial:"
TCP_SCHEME: Final = "tcp://"
_USB = re.compile(r"usb-([0-9A-Fa-f]{4}):([0-9A-Fa-f]{4})(?::([ -~]{1,128}))?")
_SHOWN = 8


class TtyPath(Struct, frozen=True):
    path: str

    def __str__(self) -> str:
        return self.path


class UsbId(Struct, frozen=True):
    """`usb-303a:1001:F4:12:FA:01:02:03`; without a serial number it means the only port with these two ids."""

    vid: int
    pid: int
    serial: str | None = None

    def __str__(self) -> str:
        ids = f"usb-{self.vid:04x}:{self.pid:04x}"
        if self.serial is not None:
            return f"{ids}:{self.serial}"
        return ids


class PortInfo(Struct, frozen=True):
    """A port of this machine: its path or name, and its USB id when it hangs on USB."""

    device: str
    usb: UsbId | None = None


PortAddress: TypeAlias = HostPort | TtyPath | UsbId
ListPorts: TypeAlias = Callable[[], Iterable[PortInfo]]


def parse_port_address(address: str) -> PortAddress:
    """serial:/dev/ttyACM0, serial:usb-VID:PID:SERIAL or serial:tcp://host:port."""
    rest = address.removeprefix(SCHEME)
    if rest.startswith(TCP_SCHEME):
        return parse_host_port(rest.removeprefix(TCP_SCHEME))
    usb = _USB.fullmatch(rest)
    if usb:
        return UsbId(int(usb[1], 16), int(usb[2], 16), usb[3])
    if not rest.startswith("/") or "\0" in rest:
        step = "write serial:/dev/ttyACM0, serial:usb-VID:PID:SERIAL or serial:tcp://HOST:PORT"
        raise ConfigError(f"{address!r} is no serial port", next_step=step)
    return TtyPath(rest)


def list_ports() -> tuple[PortInfo, ...]:
    """The serial ports of this machine; it reads the system's own lists and opens none."""
    from serialx import list_serial_ports

    found = sorted(list_serial_ports(), key=lambda port: port.resolved_device)
    return tuple(
        PortInfo(
            p.resolved_device, None if p.vid is None or p.pid is None else UsbId(p.vid, p.pid, p.serial_number or None)
        )
        for p in found
    )


def find_usb_port(wanted: UsbId, ports: Iterable[PortInfo]) -> str:
    """The path or name behind a USB id; DeviceUnreachable when none or several have it."""
    known = tuple(ports)
    found = [p for p in known if p.usb is not None and _is(p.usb, wanted)]
    if len(found) == 1:
        return found[0].device
    if not found:
        text = f"no serial port has the USB id {wanted}"
        raise DeviceUnreachable(text, next_step=f"is the board plugged in? {shown_ports(known)}")
    text = f"{len(found)} serial ports have the USB id {wanted}"
    raise DeviceUnreachable(text, next_step=f"name one with its serial number, or by its path: {shown_ports(found)}")


def shown_ports(ports: Iterable[PortInfo]) -> str:
    """ "ports here: /dev/ttyACM0 (usb-303a:1001:...), /dev/ttyS0"."""
    names = [f"{p.device} ({p.usb})" if p.usb is not None else p.device for p in ports]
    if len(names) > _SHOWN:
        more = f" and {len(names) - _SHOWN} more"
    else:
        more = ""
    if names:
        return f"ports here: {', '.join(names[:_SHOWN])}{more}"
    return "this machine shows no serial port"


def _is(usb: UsbId, wanted: UsbId) -> bool:
    same = (usb.vid, usb.pid) == (wanted.vid, wanted.pid)
    return same and (wanted.serial is None or (usb.serial or "").upper() == wanted.serial.upper())


BAUD: Final = 115_200
OPEN_S: Final = 10.0
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
        if isinstance(address, HostPort):
            self._shown = f"{TCP_SCHEME}{address}"
        else:
            self._shown = str(address)
        self.endpoint = f"{scheme}{self._shown}"
        self._lock_folder = lock_folder
        self._list_ports = list_ports
        self._tcp_step = tcp_step
        self._found_at: str | None = None  # the path behind a USB id

    @property
    def where(self) -> str:
        """The address as typed, and the path that a USB id stands for."""
        if self._found_at is not None:
            return f"{self.endpoint} ({self._found_at})"
        return self.endpoint

    async def open(self, open_s: float = OPEN_S) -> BytePort:
        """DeviceUnreachable with why: it is not there, another program has it, this user may not."""
        lock = AddressLock(self._lock_folder, f"{SCHEME}{self._shown}")
        await lock.acquire(open_s)
        try:
            async with asyncio.timeout(open_s):
                return await self._open_port(lock)
        except BaseException as exc:
            lock.release()
            if not isinstance(exc, OSError):  # TimeoutError is one
                raise
            why = exc.strerror or str(exc) or "no answer"
            raise DeviceUnreachable(f"cannot open {self.where}: {why}", next_step=await self._how_to_open(exc)) from exc

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

    async def _how_to_open(self, exc: OSError) -> str:
        if isinstance(self.address, HostPort):
            return self._tcp_step
        if isinstance(exc, PermissionError):
            return "let your user use serial ports: sudo usermod -aG dialout $USER, then log in again"
        if exc.errno == errno.EBUSY:
            return "close the serial monitor or flashing tool that has it open"
        return f"is the board plugged in? {shown_ports(await asyncio.to_thread(self._list_ports))}"
