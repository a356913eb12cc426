"""Makes the transport of an address. It connects at its first call, not here."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from microclaw.devices.registry.calls import Call
from microclaw.devices.registry.transport import LINK_SCHEME, Transport
from microclaw.devices.transports import console, serial, serial_ports, virtual_board, wasmachine
from microclaw.devices.transports.address import HostPort, parse_host_port
from microclaw.devices.transports.pin_calls import BuildPinProgram
from microclaw.errors import ConfigError, NotSupported, ProtocolError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.host.config.places import cache_folder
from microclaw.wire.xiaozhi import SCHEME as XIAOZHI_SCHEME
from microclaw.wire.xiaozhi import read_mac

if TYPE_CHECKING:
    from microclaw.devices.link.device_link import DeviceLink

R = TypeVar("R")
_FORMS = (
    "wasmachine://HOST:PORT, serial:/dev/ttyACM0, serial:usb-VID:PID, serial:tcp://HOST:PORT, "
    "console:/dev/ttyUSB0 or virtual:/PATH/control.sock"
)


def open_transport(
    endpoint: str,
    board: BoardProfile,
    *,
    lock_folder: Path | None = None,
    links: Callable[[str], DeviceLink] | None = None,
    zone: tzinfo | None = None,
    build_pin_program: BuildPinProgram | None = None,
) -> Transport:
    """Make the transport of an address; HOST:PORT without a scheme is WASMachine.

    Raises ConfigError with the known forms for any other address. Programs get the local time of `zone`, or of the
    machine if it is None. Without `build_pin_program` stock firmware has no calls for pins.
    """
    locks = lock_folder or cache_folder(os.environ) / "locks"
    if endpoint.startswith(LINK_SCHEME):
        if links is None:
            text = f"{endpoint} is a device's own connection to its host"
            raise ConfigError(text, next_step="ask the host: microclaw device show")
        # Only hosts with a link need it.
        from microclaw.devices.link.transport import LinkTransport

        link = links(endpoint.removeprefix(LINK_SCHEME))
        return LinkTransport(link, link.parts.remote)
    if endpoint.startswith(wasmachine.SCHEME):
        return wasmachine.WasmachineTransport(
            endpoint, board, lock_folder=locks, zone=zone, build_pin_program=build_pin_program
        )
    if endpoint.startswith(serial_ports.SCHEME):
        return serial.SerialTransport(endpoint, lock_folder=locks)
    if endpoint.startswith(console.SCHEME):
        return console.ConsoleTransport(endpoint, lock_folder=locks)
    if endpoint.startswith(XIAOZHI_SCHEME):
        return XiaozhiTransport(endpoint)
    if endpoint.startswith(virtual_board.SCHEME):
        return virtual_board.VirtualBoardTransport(endpoint)
    try:
        return wasmachine.WasmachineTransport(
            endpoint, board, lock_folder=locks, zone=zone, build_pin_program=build_pin_program
        )
    except ConfigError as exc:
        raise ConfigError(f"{endpoint!r} is not a device address", next_step=f"write {_FORMS}") from exc


def tcp_address(endpoint: str) -> HostPort | None:
    """Return the TCP address of a transport, or None if it has none. Raises ConfigError as `open_transport` does."""
    if endpoint.startswith((serial_ports.SCHEME, console.SCHEME)):
        port = serial_ports.parse_port_address(endpoint.removeprefix(console.SCHEME))
        return port if isinstance(port, HostPort) else None
    if endpoint.startswith((LINK_SCHEME, XIAOZHI_SCHEME, virtual_board.SCHEME)):
        return None
    return parse_host_port(endpoint.removeprefix(wasmachine.SCHEME), wasmachine.DEFAULT_PORT)


class XiaozhiTransport(Transport):
    """The transport of `xiaozhi:aa:bb:cc:dd:ee:ff`: a voice device, which connects to speak, and offers no call."""

    def __init__(self, endpoint: str) -> None:
        try:
            self.endpoint = XIAOZHI_SCHEME + read_mac(endpoint.removeprefix(XIAOZHI_SCHEME))
        except ProtocolError as exc:
            step = "write it like xiaozhi:aa:bb:cc:dd:ee:ff"
            raise ConfigError(f"{endpoint!r} is not a device address", next_step=step) from exc

    async def call(self, call: Call[R], timeout_s: float) -> R:  # noqa: ARG002 - nothing takes time here
        raise NotSupported(f"{self.endpoint} does not offer {call.method}", next_step="speak to it: docs/xiaozhi.md")
