"""Connects to judged addresses alone: a name is looked up once, by `Egress`. http_door.py speaks HTTP."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Final, TypeAlias

from aiohappyeyeballs import addr_to_addr_infos, pop_addr_infos_interleave, start_connection

from microclaw.egress.destinations import Egress, Purpose
from microclaw.errors import MicroclawError

STAGGER_S: Final = 0.25  # RFC 8305: before the next address is tried beside the first
MAX_TRIES: Final = 3  # addresses of one name and family
Pair: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(
    purpose: Purpose, host: str, port: int, egress: Egress | None = None, *, tls: ssl.SSLContext | None = None
) -> Pair:
    """Connect, with TLS where its context is given. Raises OSError, for what may not be connected to as well."""
    try:
        addresses = await (egress or Egress()).addresses(purpose, host, port)
    except MicroclawError as exc:
        raise OSError(exc.message) from exc
    return await open_streams(addresses, port, tls, host)


async def open_streams(addresses: Sequence[str], port: int, tls: ssl.SSLContext | None, name: str) -> Pair:
    """As `open_socket`; with `tls` the server proves its `name`."""
    opened = await open_socket(addresses, port)
    return await asyncio.open_connection(sock=opened, ssl=tls, server_hostname=None if tls is None else name)


async def open_socket(addresses: Sequence[str], port: int) -> socket.socket:
    """Connect to the first of the judged addresses that answers; the families take turns. Raises OSError."""
    places = [place for address in addresses for place in addr_to_addr_infos((address, port)) or ()]
    left = places[:]
    pop_addr_infos_interleave(left, MAX_TRIES)
    tried = [place for place in places if place not in left]
    try:
        return await start_connection(tried, happy_eyeballs_delay=STAGGER_S)
    except RuntimeError as exc:  # uvloop's, for an address that it cannot take
        raise OSError(str(exc)) from exc
