"""The host's own connections, to judged addresses alone: a name is looked up once, by `Egress`.

HTTP has its own door, http_door.py, which imports the HTTP library.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import re
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any, Final, TypeAlias, TypeVar
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
    dial = partial(asyncio.open_connection, port=port, ssl=tls, server_hostname=name)
    return await first_to_answer(addresses, dial, close_pair)


async def close_pair(pair: Pair) -> None:
    pair[1].close()


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


async def first_to_answer(
    addresses: Sequence[str], dial: Callable[[str], Coroutine[Any, Any, T]], close: Callable[[T], Awaitable[None]]
) -> T:
    """The first connection that is there: the next one is tried when one failed, and beside it after STAGGER_S.

    When none is there, the first one's failure is raised. `close` ends those that come too late. Not by asyncio's
    staggered race: on Python 3.11 it can lose the one that won.
    """
    waiting, running = in_turns(addresses), list[asyncio.Task[T]]()
    failure: BaseException | None = None
    won: asyncio.Task[T] | None = None
    try:
        while won is None and (waiting or running):
            if waiting:
                running.append(asyncio.create_task(dial(waiting.pop(0)), name="dial"))
            pause_s = STAGGER_S if waiting else None
            await asyncio.wait(running, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            failures = [one.exception() for one in running if one.done()]
            failure = failure or next((one for one in failures if one is not None), None)
            won = next((one for one in running if one.done() and one.exception() is None), None)
            running = [one for one in running if not one.done() or (one.exception() is None and one is not won)]
    finally:
        for late in running:
            late.cancel()
        if running:
            await asyncio.wait(running)
        for late in running:
            if not late.cancelled() and late.exception() is None:
                await close(late.result())
    if won is None:
        raise failure or OSError("there is no address")
    return won.result()


def in_turns(addresses: Sequence[str]) -> list[str]:
    """The families take turns, so that one that does not work here costs one try; not more than MAX_TRIES."""
    preferred = ":" in addresses[0]
    families = ([one for one in addresses if (":" in one) is family] for family in (preferred, not preferred))
    return [one for pair in zip_longest(*families) for one in pair if one is not None][:MAX_TRIES]
