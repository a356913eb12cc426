"""The host's own connections: which places one client may ask, and connections to judged addresses.

Everything here goes by `Egress`: a name is looked up once, each address is judged, and one of these is connected to.
HTTP has its own door, http_door.py, which imports the HTTP library.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from microclaw.addresses import bracketed
from microclaw.egress.destinations import DEFAULT_PORTS, Egress, Purpose
from microclaw.errors import MicroclawError, PermissionRefused

STAGGER_S: Final = 0.25  # RFC 8305: before the next address is tried beside the first
MAX_TRIES: Final = 6  # addresses of one name
T = TypeVar("T")


class Errand:
    """The purpose of one client. `first_url` is the place that the settings, the code or a person named.

    Without it (an SDK that knows its own address), the first place that is asked counts as named.
    """

    def __init__(self, purpose: Purpose, first_url: str | None = None) -> None:
        self._purpose = purpose
        self._first = None
        if first_url is not None:
            parts = urlsplit(first_url)
            self._first = _place(parts.scheme, parts.hostname or "", parts.port)

    def purpose_of(self, scheme: str, host: str, port: int | None) -> Purpose:
        """The rule for the place. Raises PermissionRefused for one that this client has no business with."""
        place = _place(scheme, host, port)
        if self._purpose is Purpose.CONFIGURED:
            self._first = self._first or place
            if place != self._first:
                raise PermissionRefused(
                    f"{_words(place)} is not {_words(self._first)}, which the settings name",
                    next_step="correct the address in the settings",
                )
        elif self._purpose is Purpose.DOWNLOAD:
            if place == self._first:
                return Purpose.CONFIGURED
            if scheme != "https":  # who stands inside has no certificate for the name
                raise PermissionRefused(f"it leads to {host} without TLS", next_step="try another source")
        return self._purpose


def _place(scheme: str, host: str, port: int | None) -> tuple[str, str, int]:
    return scheme.lower(), host.lower().rstrip("."), port or DEFAULT_PORTS.get(scheme.lower(), 0)


def _words(place: tuple[str, str, int]) -> str:
    scheme, host, port = place
    return f"{scheme}://{bracketed(host)}:{port}"


async def connect(
    purpose: Purpose, host: str, port: int, egress: Egress | None = None, *, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, with TLS where its context is given. Raises OSError, for what may not be connected to as well."""
    name = None if tls is None else host

    def dial(address: str) -> Callable[[], Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
        return lambda: asyncio.open_connection(address, port, ssl=tls, server_hostname=name)

    async def close(late: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        late[1].close()

    try:
        addresses = await (egress or Egress()).addresses(purpose, host, port)
    except MicroclawError as exc:
        raise OSError(exc.message) from exc
    return await first_to_answer([dial(address) for address in in_turns(addresses)], close)


def in_turns(addresses: Sequence[str]) -> list[str]:
    """The families take turns, so that one that does not work here costs one try; not more than MAX_TRIES."""
    first = [one for one in addresses if (":" in one) == (":" in addresses[0])]
    other = [one for one in addresses if one not in first]
    both = [one for pair in zip(first, other, strict=False) for one in pair]
    return (both + first[len(other) :] + other[len(first) :])[:MAX_TRIES]


async def first_to_answer(
    dials: Sequence[Callable[[], Coroutine[Any, Any, T]]], close: Callable[[T], Awaitable[None]]
) -> T:
    """The first connection that is there. The next one is tried when one failed, and beside it after STAGGER_S.

    When none is there, the first one's failure is raised. `close` ends those that come too late.
    """
    waiting, running = deque(dials), list[asyncio.Task[T]]()
    failure: BaseException | None = None
    won: asyncio.Task[T] | None = None
    try:
        while won is None and (waiting or running):
            if waiting:
                running.append(asyncio.create_task(waiting.popleft()(), name="dial"))
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
