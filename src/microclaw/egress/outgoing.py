"""The host's own connections, to judged addresses alone: a name is looked up once, by `Egress`.

HTTP has its own door, http_door.py, which imports the HTTP library.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import re
import ssl
from asyncio.staggered import staggered_race
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import zip_longest
from typing import Final, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit

from microclaw.addresses import bracketed
from microclaw.egress.destinations import Egress, Purpose
from microclaw.errors import MicroclawError

STAGGER_S: Final = 0.25  # RFC 8305: before the next address is tried beside the first
MAX_TRIES: Final = 6  # addresses of one name
Pair: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
T = TypeVar("T")


async def connect(
    purpose: Purpose, host: str, port: int, egress: Egress | None = None, *, tls: ssl.SSLContext | None = None
) -> Pair:
    """Connect, with TLS where its context is given. Raises OSError, for what may not be connected to as well."""
    try:
        addresses = await (egress or Egress()).addresses(purpose, host, port)
    except MicroclawError as exc:
        raise OSError(exc.message) from exc
    name = None if tls is None else host
    return await first_to_answer(addresses, partial(asyncio.open_connection, port=port, ssl=tls, server_hostname=name))


async def tunnel_by(proxy: str, address: str, port: int, egress: Egress, tls: ssl.SSLContext | None, name: str) -> Pair:
    """A connection to a judged address by CONNECT through an http:// proxy of the settings. Raises OSError.

    With `tls` the server proves its `name`.
    """
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


async def first_to_answer(addresses: Sequence[str], dial: Callable[[str], Awaitable[T]]) -> T:
    """The first connection that is there: the next one is tried when one failed, and beside it after STAGGER_S.

    When none is there, the first one's failure is raised.
    """
    dials = [partial(dial, address) for address in in_turns(addresses)]
    connection: T | None
    connection, _, failures = await staggered_race(dials, STAGGER_S)
    if connection is None:
        raise next((failure for failure in failures if failure is not None), OSError("there is no address"))
    return connection


def in_turns(addresses: Sequence[str]) -> list[str]:
    """The families take turns, so that one that does not work here costs one try; not more than MAX_TRIES."""
    preferred = ":" in addresses[0]
    families = ([one for one in addresses if (":" in one) is family] for family in (preferred, not preferred))
    return [one for pair in zip_longest(*families) for one in pair if one is not None][:MAX_TRIES]
