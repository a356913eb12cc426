"""Looks for WASMachine boards on a subnet that a person names: paced, one read-only query an open port. No mDNS."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Final

from microclaw.devices.registry.calls import AppList
from microclaw.devices.transports.address import HostPort
from microclaw.devices.transports.discovery import MAX_FOUND, DiscoveredService
from microclaw.devices.transports.wasmachine import SCHEME, WasmachineTransport
from microclaw.devices.transports.wasmachine_connection import Timeouts
from microclaw.errors import ConfigError, DeviceError, ProtocolError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.boards.reader import load_board

# The ports of the firmware and of the virtual board.
PORTS: Final = (8080, 18080)
MAX_ADDRESSES: Final = 1024
SMALLEST_PREFIX: Final = 22
CONNECT_S: Final = 0.7
ANSWER_S: Final = 5.0
# The firmware sleeps a second after each client, also after this probe's first connection.
_FIRST_S: Final = 4.5
_AT_ONCE: Final = 48
# Home routers take a higher rate for an attack, and their address tables overflow.
_STARTS_A_SECOND: Final = 150


def parse_subnet(text: str) -> ipaddress.IPv4Network:
    """Parse a private IPv4 network of up to 1024 addresses. Raises ConfigError with the fault."""
    example = "write it like --subnet 192.168.1.0/24"
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError as exc:
        raise ConfigError(f"{text!r} is not an IPv4 subnet: {exc}", next_step=example) from exc
    if network.prefixlen < SMALLEST_PREFIX:
        text = f"{network} has {network.num_addresses:,} addresses, at most {MAX_ADDRESSES:,} are probed"
        raise ConfigError(text, next_step=f"name a part of it: --subnet {network.network_address}/{SMALLEST_PREFIX}")
    if not network.is_private:
        raise ConfigError(f"{network} is not a private network", next_step=example)
    return network


async def probe_subnet(
    network: ipaddress.IPv4Network,
    *,
    lock_folder: Path,
    ports: Sequence[int] = PORTS,
    also: Sequence[HostPort] = (),
) -> list[DiscoveredService]:
    """List the addresses that answer as a WASMachine application manager, with their programs.

    `also` are the addresses of known boards, which are asked too if they are in the subnet.
    """
    services: list[DiscoveredService] = []
    hosts = dict.fromkeys(map(str, network.hosts()))
    addresses = dict.fromkeys(HostPort(*pair) for pair in product(hosts, ports))
    addresses |= dict.fromkeys(address for address in also if address.host in hosts)
    gate = asyncio.Semaphore(_AT_ONCE)
    board = load_board("virtual")

    async def probe(address: HostPort) -> None:
        async with gate:
            if not await _is_open(address.host, address.port):
                return
            service = await _ask(address.host, address.port, board, lock_folder)
            if service is not None:
                services.append(service)

    async with asyncio.TaskGroup() as group:
        for address in addresses:
            group.create_task(probe(address), name=f"probe {address}")
            await asyncio.sleep(1 / _STARTS_A_SECOND)
    services.sort(key=lambda service: (ipaddress.IPv4Address(service.address), service.port))
    return services[:MAX_FOUND]


async def _is_open(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    # The firmware serves one client at a time, so this connection ends before the query's begins.
    writer.transport.abort()
    return True


async def _ask(host: str, port: int, board: BoardProfile, lock_folder: Path) -> DiscoveredService | None:
    """Send the query. Returns None if the answer is late or is not an application manager's."""
    timeouts = Timeouts(connect_s=CONNECT_S, answer_s=ANSWER_S, first_query_s=_FIRST_S)
    transport = WasmachineTransport(f"{SCHEME}{host}:{port}", board, lock_folder=lock_folder, timeouts=timeouts)
    try:
        apps = await transport.call(AppList(), ANSWER_S)
    except (DeviceError, ProtocolError):
        return None
    finally:
        await transport.close()
    names = ", ".join(app.name for app in apps)
    return DiscoveredService("wasmachine", f"{host}:{port}", host, port, {"programs": names or "none"})
