"""The address of a serial port: a path, a USB id or TCP, as people type it. It opens nothing.

A USB id outlives re-plugging and other boards' comings and goings, which a path such as /dev/ttyACM0 does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.transports.address import HostPort, parse_host_port

SCHEME: Final = "serial:"
TCP_SCHEME: Final = "tcp://"
_USB = re.compile(r"usb-([0-9A-Fa-f]{4}):([0-9A-Fa-f]{4})(?::([!-~]{1,128}))?")
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
        return f"{ids}:{self.serial}" if self.serial is not None else ids


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
    if usb := _USB.fullmatch(rest):
        return UsbId(int(usb[1], 16), int(usb[2], 16), usb[3])
    if not rest.startswith("/") or "\0" in rest:
        raise ConfigError(
            f"{address!r} is no serial port",
            next_step="write serial:/dev/ttyACM0, serial:usb-VID:PID:SERIAL or serial:tcp://HOST:PORT",
        )
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
        raise DeviceUnreachable(
            f"no serial port has the USB id {wanted}", next_step=f"is the board plugged in? {shown_ports(known)}"
        )
    raise DeviceUnreachable(
        f"{len(found)} serial ports have the USB id {wanted}",
        next_step=f"name one with its serial number, or by its path: {shown_ports(found)}",
    )


def shown_ports(ports: Iterable[PortInfo]) -> str:
    """ "ports here: /dev/ttyACM0 (usb-303a:1001:...), /dev/ttyS0"."""
    names = [f"{p.device} ({p.usb})" if p.usb is not None else p.device for p in ports]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"ports here: {', '.join(names[:_SHOWN])}{more}" if names else "this machine shows no serial port"


def _is(usb: UsbId, wanted: UsbId) -> bool:
    same = (usb.vid, usb.pid) == (wanted.vid, wanted.pid)
    return same and (wanted.serial is None or (usb.serial or "").upper() == wanted.serial.upper())
