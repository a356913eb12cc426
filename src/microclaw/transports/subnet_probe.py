"""Looks for WASMachine boards on a subnet that a person names: paced, one read-only query an open port. No mDNS."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from microclaw.boards.profile import BoardProfile
from microclaw.devices.calls import AppList
from microclaw.errors import ConfigError, DeviceError, ProtocolError
from microclaw.transports.discovery import MAX_FOUND, DiscoveredService
from microclaw.transports.wasmachine import SCHEME, WasmachineTransport
from microclaw.transports.wasmachine_connection import Timeouts

PORTS: Final = (8080, 18080)  # the firmware's, and the virtual board's
MAX_ADDRESSES: Final = 1024
SMALLEST_PREFIX: Final = 22
CONNECT_S: Final = 0.7
ANSWER_S: Final = 3.0
_AT_ONCE: Final = 48
_STARTS_A_SECOND: Final = 150  # under what home routers and their address tables take for an attack


def parse_subnet(text: str) -> ipaddress.IPv4Network:
    """A private IPv4 network of at most 1024 addresses; ConfigError says what is wrong."""
    example = "write it like --subnet 192.168.1.0/24"
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError as exc:
        raise ConfigError(f"{text!r} is not an IPv4 subnet: {exc}", next_step=example) from exc
    if network.prefixlen < SMALLEST_PREFIX:
        raise ConfigError(
            f"{network} has {network.num_addresses:,} addresses, at most {MAX_ADDRESSES:,} are probed",
            next_step=f"name a part of it: --subnet {network.network_address}/{SMALLEST_PREFIX}",
        )
    if not network.is_private:
        raise ConfigError(f"{network} is not a private network", next_step=example)
    return network


async def probe_subnet(
    network: ipaddress.IPv4Network, board: BoardProfile, *, lock_folder: Path, ports: Sequence[int] = PORTS
) -> list[DiscoveredService]:
    """Every address that answers as a WASMachine application manager, with the programs it lists."""
    found: list[DiscoveredService] = []
    gate = asyncio.Semaphore(_AT_ONCE)

    async def look(host: str, port: int) -> None:
        async with gate:
            if await _is_open(host, port) and (board_there := await _ask(host, port, board, lock_folder)) is not None:
                found.append(board_there)

    async with asyncio.TaskGroup() as group:
        for address in network.hosts():
            for port in ports:
                group.create_task(look(str(address), port), name=f"probe {address}:{port}")
                await asyncio.sleep(1 / _STARTS_A_SECOND)
    found.sort(key=lambda each: (ipaddress.IPv4Address(each.address), each.port))
    return found[:MAX_FOUND]


async def _is_open(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_S)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()  # the firmware serves one client at a time: gone before the query comes
    return True


async def _ask(host: str, port: int, board: BoardProfile, lock_folder: Path) -> DiscoveredService | None:
    """The one query; what does not answer it in time, or otherwise, is no application manager."""
    timeouts = Timeouts(connect_s=CONNECT_S, answer_s=ANSWER_S, first_query_s=ANSWER_S / 2)
    transport = WasmachineTransport(f"{SCHEME}{host}:{port}", board, lock_folder=lock_folder, timeouts=timeouts)
    try:
        apps = await transport.call(AppList(), ANSWER_S)
    except (DeviceError, ProtocolError):
        return None
    finally:
        await transport.close()
    names = ", ".join(app.name for app in apps)
    return DiscoveredService("wasmachine", f"{host}:{port}", host, port, {"programs": names or "none"})
