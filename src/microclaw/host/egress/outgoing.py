"""Connects only to checked addresses: a name is looked up once, by `Egress`. http_door.py speaks HTTP."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Final, TypeAlias

from aiohappyeyeballs import AddrInfoType, addr_to_addr_infos, pop_addr_infos_interleave, start_connection

from microclaw.errors import MicroclawError
from microclaw.host.egress.destinations import Egress, Purpose

# RFC 8305: the time until the next address is tried beside the first.
STAGGER_S: Final = 0.25
# Addresses of one name and family.
MAX_TRIES: Final = 3
Pair: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(
    purpose: Purpose, host: str, port: int, egress: Egress | None = None, *, tls: ssl.SSLContext | None = None
) -> Pair:
    """Connect, with TLS if `tls` is given. Raises OSError, also if the address is not allowed."""
    try:
        addresses = await (egress or Egress()).addresses(purpose, host, port)
    except MicroclawError as exc:
        raise OSError(exc.message) from exc
    return await open_streams(addresses, port, tls, host)


async def open_streams(addresses: Sequence[str], port: int, tls: ssl.SSLContext | None, name: str) -> Pair:
    """Connect as `open_socket` does; with `tls` the server proves its `name`. Raises OSError."""
    connected = await open_socket(addresses, port)
    server_name = None if tls is None else name
    return await asyncio.open_connection(sock=connected, ssl=tls, server_hostname=server_name)


async def open_socket(addresses: Sequence[str], port: int) -> socket.socket:
    """Connect to the first of the checked addresses that answers; IPv4 and IPv6 take turns. Raises OSError."""
    places: list[AddrInfoType] = []
    for address in addresses:
        places += addr_to_addr_infos((address, port)) or ()
    # The library takes up to MAX_TRIES of each family out of the list that it is given.
    untried = places[:]
    pop_addr_infos_interleave(untried, MAX_TRIES)
    tried = [place for place in places if place not in untried]
    try:
        return await start_connection(tried, happy_eyeballs_delay=STAGGER_S)
    # uvloop raises it for an address that it cannot use.
    except RuntimeError as exc:
        raise OSError(str(exc)) from exc
