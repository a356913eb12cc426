"""The host's own connections, to judged addresses alone: a name is looked up once, by `Egress`.

HTTP has its own door, http_door.py, which imports the HTTP library.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import re
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeAlias
from urllib.parse import unquote, urlsplit

from aiohappyeyeballs import start_connection

from microclaw.addresses import bracketed
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
    places = []
    of_family = Counter[int]()
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        of_family[family] += 1
        if of_family[family] <= MAX_TRIES:
            place = (address, port, 0, 0) if family == socket.AF_INET6 else (address, port)
            places.append((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place))
    try:
        return await start_connection(places, happy_eyeballs_delay=STAGGER_S)
    except RuntimeError as exc:  # uvloop's, for an address that it cannot take
        raise OSError(str(exc)) from exc


async def tunnel_by(
    proxy: str, addresses: Sequence[str], port: int, egress: Egress, tls: ssl.SSLContext | None, name: str
) -> Pair:
    """A connection to a judged address by CONNECT through an http:// proxy of the settings. Raises OSError.

    The proxy is asked for one after the other, those of IPv4 first: which networks it has is not known here. With `tls`
    the server proves its `name`.
    """
    failure: OSError | None = None
    for address in sorted(addresses, key=lambda one: ":" in one)[:MAX_TRIES]:
        try:
            return await _tunnel(proxy, address, port, egress, tls, name)
        except OSError as exc:
            failure = failure or exc
    raise failure or OSError("there is no address")


async def _tunnel(proxy: str, address: str, port: int, egress: Egress, tls: ssl.SSLContext | None, name: str) -> Pair:
    parts = urlsplit(proxy)
    reader, writer = await connect(Purpose.CONFIGURED, parts.hostname or "", parts.port or 80, egress)
    place = f"{bracketed(address)}:{port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if parts.username is not None:
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(known.encode()).decode()}")
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not re.match(rb"HTTP/1\.[01] 200[ \r]", head):
            status = head.partition(b"\r\n")[0][:60].decode("ascii", "replace")
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"the proxy of the settings says {status!r}")
        if tls is not None:
            await writer.start_tls(tls, server_hostname=name)
    except BaseException as exc:
        writer.transport.abort()
        if isinstance(exc, asyncio.IncompleteReadError | asyncio.LimitOverrunError):
            raise ConnectionAbortedError(errno.ECONNABORTED, "the proxy of the settings broke off") from exc
        raise
    return reader, writer
