"""The port that a board is on: found by USB id, named by a person, opened again after each reset."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, assert_never

from microclaw.errors import ConfigError, DeviceError, DeviceUnreachable, MicroclawError
from microclaw.flash.raw_repl import RawRepl
from microclaw.transports.address import HostPort
from microclaw.transports.serial_address import (
    TCP_SCHEME,
    ComName,
    ListPorts,
    PortAddress,
    PortInfo,
    TtyPath,
    UsbId,
    find_usb_port,
    list_ports,
    parse_port_address,
    shown_ports,
)
from microclaw.transports.serial_ports import ComPort, SerialPort, TcpPort

SOCKET_SCHEME: Final = "socket://"
_ESPRESSIF: Final = 0x303A
BOARD_VENDORS: Final = {
    _ESPRESSIF: "Espressif",
    0x10C4: "CP210x",
    0x1A86: "CH340",
    0x0403: "FTDI",
    0x067B: "PL2303",
}
"""Who makes the USB chips of ESP32 boards, by USB vendor id (the Linux kernel's serial drivers; usb.org)."""
_OPEN_S: Final = 5.0
_AGAIN_S: Final = 0.3
DIALOUT: Final = "sudo usermod -aG dialout $USER, then log in again"
_CLOSES: Final = "plug the board in again; of a socket://: does its emulator run, and is no other program connected?"
NO_BOARD: Final = (
    "plug the board in with a cable that carries data (many only charge), then run it again; -p PORT names a port"
)


@dataclass(frozen=True, slots=True)
class BoardPort:
    """A port as a person or USB names it. A USB id finds the board again after a reset gave it another path."""

    address: PortAddress
    find: ListPorts = list_ports

    @classmethod
    def parse(cls, text: str) -> BoardPort:
        """/dev/ttyUSB0, COM3, usb-VID:PID:SERIAL, socket://HOST:PORT or a pty; ConfigError lists these."""
        if text.startswith(SOCKET_SCHEME):
            text = TCP_SCHEME + text.removeprefix(SOCKET_SCHEME)
        return cls(parse_port_address(text))

    def __str__(self) -> str:
        return f"{SOCKET_SCHEME}{self.address}" if isinstance(self.address, HostPort) else str(self.address)

    async def path(self) -> str:
        """What esptool and the system call it now; DeviceUnreachable when the USB id is not plugged in."""
        if isinstance(self.address, UsbId):
            ports = tuple(await asyncio.to_thread(self.find))
            return find_usb_port(_id_now(self.address, ports), ports)
        return str(self)

    async def open(self) -> SerialPort:
        """OSError, or DeviceUnreachable when its USB id is not there."""
        match self.address:
            case HostPort():
                return await TcpPort.open(self.address)
            case TtyPath() | UsbId():
                path = await self.path()
                return _open_tty(path) if path.startswith("/") else await ComPort.open(path)
            case ComName(name=name):
                return await ComPort.open(name)
            case _:
                assert_never(self.address)

    @asynccontextmanager
    async def repl(self, timeout_s: float) -> AsyncIterator[RawRepl]:
        """The board's raw REPL, waited for while the board restarts; DeviceTimeout when none answers."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            port = await self._open_by(deadline)
            try:
                repl = RawRepl(port, str(self))
                try:
                    await repl.enter(max(1.0, deadline - loop.time()))
                except DeviceUnreachable as exc:  # it re-enumerated: a board with its own USB does after each reset
                    if loop.time() >= deadline:
                        raise DeviceUnreachable(
                            f"{self} closes as soon as it is opened ({exc.message})", next_step=_CLOSES
                        ) from exc
                    await asyncio.sleep(_AGAIN_S)
                    continue
                yield repl
                with contextlib.suppress(DeviceError):  # it may have been told to restart
                    await repl.leave()
                return
            finally:
                await port.close()

    async def _open_by(self, deadline: float) -> SerialPort:
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(_OPEN_S):
                    return await self.open()
            except (OSError, TimeoutError, DeviceUnreachable) as exc:
                problem = explain_open(exc, str(self))
                if loop.time() >= deadline or isinstance(problem, ConfigError):
                    raise problem from exc
            await asyncio.sleep(_AGAIN_S)


def explain_open(exc: Exception, port: str) -> MicroclawError:
    """Why a port does not open, with what to do about it."""
    if isinstance(exc, MicroclawError):
        return exc
    number = exc.errno if isinstance(exc, OSError) else None
    if isinstance(exc, PermissionError):
        return ConfigError(f"your user may not open {port}", next_step=DIALOUT)
    if number == errno.EBUSY:
        return DeviceUnreachable(
            f"another program has {port} open", next_step="close the serial monitor or editor that uses it"
        )
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return DeviceUnreachable(f"there is no port {port}", next_step=NO_BOARD)
    if isinstance(exc, TimeoutError) or number == errno.ECONNREFUSED:
        return DeviceUnreachable(f"nobody listens on {port}", next_step="is the board, or its emulator, running?")
    why = (isinstance(exc, OSError) and exc.strerror) or exc
    return DeviceUnreachable(f"cannot open {port}: {why}", next_step=NO_BOARD)


def usb_boards(ports: Sequence[PortInfo]) -> tuple[PortInfo, ...]:
    """The ports that may be boards: those with a USB chip that boards have."""
    return tuple(port for port in ports if port.usb is not None and port.usb.vid in BOARD_VENDORS)


def no_board(ports: Sequence[PortInfo]) -> DeviceUnreachable:
    """No board on USB: what is there, and what to try."""
    return DeviceUnreachable(f"no board was found on USB; {shown_ports(ports)}", next_step=NO_BOARD)


def _id_now(usb: UsbId, ports: Sequence[PortInfo]) -> UsbId:
    """A chip with its own USB is another product once MicroPython runs on it, its serial number written without colons.

    303a:1001 with F4:12:FA:01:02:03 is the ROM's; 303a:4001 with f412fa010203 is that of MicroPython's TinyUSB.
    """
    ids = {port.usb for port in ports if port.usb is not None and port.usb.vid == usb.vid == _ESPRESSIF}
    same = [one for one in ids if usb.serial and _plain(one) == _plain(usb)]
    return usb if usb in ids or len(same) != 1 else same[0]


def _plain(usb: UsbId) -> str:
    return (usb.serial or "").replace(":", "").lower()


def address_of(port: PortInfo, ports: Sequence[PortInfo]) -> PortAddress:
    """By USB id where that says which board it is, else by path."""
    same = [p for p in ports if p.usb == port.usb]
    if port.usb is not None and port.usb.serial and len(same) == 1:
        return port.usb
    return parse_port_address(port.device)


def describe(port: PortInfo) -> str:
    """ "/dev/ttyACM0, Espressif, serial number F4:12:FA:01:02:03"."""
    if port.usb is None:
        return port.device
    serial = f", serial number {port.usb.serial}" if port.usb.serial else ", without a serial number"
    return f"{port.device}, {BOARD_VENDORS.get(port.usb.vid, 'USB')}{serial}"


def _open_tty(path: str) -> SerialPort:
    from microclaw.transports.serial_tty import TtyPort  # POSIX alone

    return TtyPort.open(path)
