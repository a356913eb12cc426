"""The port of a board: found by USB id or named by a person, opened again after each reset."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from microclaw.devices.flash.raw_repl import PULLED, RawRepl
from microclaw.devices.transports.address import HostPort
from microclaw.devices.transports.serial_ports import (
    TCP_SCHEME,
    ListPorts,
    PortAddress,
    PortInfo,
    UsbId,
    describe_ports,
    find_usb_port,
    list_ports,
    open_serial_port,
    parse_port_address,
)
from microclaw.errors import ConfigError, DeviceError, DeviceUnreachable, MicroclawError
from microclaw.text import clean_text

SOCKET_SCHEME: Final = "socket://"
_ESPRESSIF: Final = 0x303A
_AGAIN_S: Final = 0.3
_CABLE: Final = "plug it in with a cable that carries data (many only charge), then: microclaw flash"
HOLD_BOOT: Final = "hold the board's BOOT button, press RESET (EN) once, let BOOT go, and run it again"
BUSY: Final = re.compile(r"exclusively lock|Resource busy|Errno 16")

_REASONS: Final[tuple[tuple[str, type[MicroclawError], str, str], ...]] = (
    (r"Permission denied", ConfigError, "your user may not open {port}", "sudo usermod -aG dialout $USER, then log in"),
    (BUSY.pattern, DeviceUnreachable, "another program has {port} open", "close the program that uses it"),
    (
        r"Connection refused|Connect call failed",
        DeviceUnreachable,
        "no program listens on {port}",
        "start the emulator",
    ),
    (
        r"Wrong boot mode|Failed to connect|No serial data received",
        DeviceUnreachable,
        "the board on {port} does not enter download mode",
        HOLD_BOOT,
    ),
    (r"(?i:secure (?:boot|download)|flash encryption)", ConfigError, "its flash is locked", "take another board"),
    (
        r"stream stopped|transfer stopped|Invalid head of packet|Guru Meditation|No more data|readiness to read|"
        r"Input/output error|Write timeout|device disconnected|not configured|multiple access|Bad file descriptor|"
        r"Response doesn't match|StopIteration|Errno 5|Errno 6|originates from pySerial",
        DeviceUnreachable,
        "the board on {port} went away or reset while it was being flashed",
        PULLED,
    ),
    (r"[Cc]ould not open|No such file", DeviceUnreachable, "there is no board on {port}", _CABLE),
)


def explain(output: str, port: str) -> MicroclawError:
    """Return the error for a message of the port or of esptool, with its next step."""
    for pattern, error, message, remedy in _REASONS:
        if re.search(pattern, output):
            return error(message.format(port=port), next_step=remedy)
    reason = clean_text(_find_reason(output), one_line=True)[:200]
    return DeviceError(f"esptool failed on {port}: {reason}", next_step=f"microclaw doctor --port {port}")


def _find_reason(output: str) -> str:
    """Return the last line with "error", else the last line that is not empty."""
    reason = ""
    for line in map(str.strip, reversed(output.splitlines())):
        if "rror" in line:
            return line
        reason = reason or line
    return reason or "it printed nothing"


class BoardPort(Struct, frozen=True):
    """A port by its path or its USB id. The id finds the board again if a reset gave it another path."""

    address: PortAddress
    find: ListPorts = list_ports

    @classmethod
    def parse(cls, text: str) -> BoardPort:
        """Parse /dev/ttyUSB0, usb-VID:PID:SERIAL, socket://HOST:PORT or a pty; ConfigError lists these."""
        if text.startswith(SOCKET_SCHEME):
            text = TCP_SCHEME + text.removeprefix(SOCKET_SCHEME)
        return cls(parse_port_address(text))

    def __str__(self) -> str:
        if isinstance(self.address, HostPort):
            return f"{SOCKET_SCHEME}{self.address}"
        return str(self.address)

    async def path(self) -> str:
        """Return the port's present name for esptool and the system.

        Raises DeviceUnreachable if no board with the USB id is plugged in.
        """
        if isinstance(self.address, UsbId):
            ports = tuple(await asyncio.to_thread(self.find))
            return find_usb_port(_id_now(self.address, ports), ports)
        return str(self)

    @asynccontextmanager
    async def repl(self, timeout_s: float) -> AsyncIterator[RawRepl]:
        """Open the board's raw REPL, waiting while the board restarts; DeviceTimeout if none answers."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            repl: RawRepl | None = None
            try:
                repl = await self._open()
                await repl.enter(max(1.0, deadline - loop.time()))
                break
            except BaseException as exc:
                if repl is not None:
                    await repl.close()
                # A board with its own USB disappears, and is a new USB device after each reset.
                if not isinstance(exc, DeviceUnreachable) or loop.time() >= deadline:
                    raise
            await asyncio.sleep(_AGAIN_S)
        try:
            yield repl
            # The caller may have restarted the board.
            with contextlib.suppress(DeviceError):
                await repl.leave()
        finally:
            await repl.close()

    async def _open(self) -> RawRepl:
        from mpremote import transport_serial  # type: ignore[import-untyped]
        from mpremote.transport import TransportError  # type: ignore[import-untyped]

        # mpremote prints what it does not expect, but stdout belongs to the command.
        transport_serial.print = lambda *_: None
        path = await self.path()
        try:
            try:
                return RawRepl(await asyncio.to_thread(transport_serial.SerialTransport, path), str(self))
            except TransportError:
                # It gives no reason, so the port is opened once more for its own error.
                await (await open_serial_port(path)).close()
            raise DeviceUnreachable(f"{self} opens only sometimes", next_step=_CABLE)
        except OSError as exc:
            raise explain(str(exc), str(self)) from exc


def no_board(ports: Sequence[PortInfo]) -> DeviceUnreachable:
    """Return the error for no board on USB, with the ports that exist."""
    return DeviceUnreachable(f"no board was found on USB; {describe_ports(ports)}", next_step=_CABLE)


def _id_now(usb: UsbId, ports: Sequence[PortInfo]) -> UsbId:
    """Return the present USB id of a board: a chip with its own USB gets another id once MicroPython runs on it.

    Its serial number then has no colons: 303a:1001 with F4:12:FA:01:02:03 is the ROM's id, 303a:4001 with f412fa010203
    the id of MicroPython's TinyUSB.
    """
    ids = set()
    for port in ports:
        if port.usb is not None and port.usb.vid == usb.vid == _ESPRESSIF:
            ids.add(port.usb)
    if usb in ids or not usb.serial:
        return usb
    same_serial = [other for other in ids if _plain(other) == _plain(usb)]
    if len(same_serial) != 1:
        return usb
    return same_serial[0]


def _plain(usb: UsbId) -> str:
    return (usb.serial or "").replace(":", "").lower()
