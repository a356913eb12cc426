"""Looks for WASMachine boards on a subnet that a person names: paced, one read-only query an open port. No mDNS."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from microclaw.boards.profile import BoardProfile
from microclaw.boards.reader import load_board
from microclaw.devices.calls import AppList
from microclaw.errors import ConfigError, DeviceError, ProtocolError
from microclaw.transports.address import HostPort
from microclaw.transports.discovery import MAX_FOUND, DiscoveredService
from microclaw.transports.wasmachine import SCHEME, WasmachineTransport
from microclaw.transports.wasmachine_connection import Timeouts

PORTS: Final = (8080, 18080)  # the firmware's, and the virtual board's
MAX_ADDRESSES: Final = 1024
SMALLEST_PREFIX: Final = 22
CONNECT_S: Final = 0.7
ANSWER_S: Final = 5.0
_FIRST_S: Final = 4.5  # the firmware sleeps a second after each client, this probe's first connection included
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
    """Every address that answers as a WASMachine application manager, with the programs it lists.

    `also` are places of known boards: those in the subnet are asked, too.
    """
    found: list[DiscoveredService] = []
    hosts = dict.fromkeys(map(str, network.hosts()))
    wanted = dict.fromkeys(HostPort(host, port) for host in hosts for port in ports)
    wanted |= dict.fromkeys(place for place in also if place.host in hosts)
    gate = asyncio.Semaphore(_AT_ONCE)
    board = load_board("virtual")

    async def look(place: HostPort) -> None:
        async with gate:
            if not await _is_open(place.host, place.port):
                return
            there = await _ask(place.host, place.port, board, lock_folder)
            if there is not None:
                found.append(there)

    async with asyncio.TaskGroup() as group:
        for place in wanted:
            group.create_task(look(place), name=f"probe {place}")
            await asyncio.sleep(1 / _STARTS_A_SECOND)
    found.sort(key=lambda each: (ipaddress.IPv4Address(each.address), each.port))
    return found[:MAX_FOUND]


async def _is_open(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()  # the firmware serves one client at a time: gone before the query comes
    return True


async def _ask(host: str, port: int, board: BoardProfile, lock_folder: Path) -> DiscoveredService | None:
    """The one query; what does not answer it in time, or otherwise, is no application manager."""
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
