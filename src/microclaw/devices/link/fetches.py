"""Takes fetches of programs from one connection, has them made, and sends their answers. Makes no request itself.

A fetch belongs to its connection: it ends with it, and nothing of it is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct, field

from microclaw.devices.link.connection import LinkConnection
from microclaw.errors import DeviceUnreachable, MicroclawError
from microclaw.host.egress.program_fetch import (
    MAX_BODY_BYTES,
    MAX_FETCH_S,
    FetchFailed,
    ProgramAnswer,
    ProgramFetcher,
    ProgramRequest,
)
from microclaw.network_use import NetworkUse
from microclaw.wire.link.messages import Envelope, Fetch, Fetched, FetchPiece
from microclaw.wire.link.values import MAX_PIECE_BYTES

if TYPE_CHECKING:
    from microclaw.devices.link.device_link import DeviceLink

MAX_AT_ONCE: Final = 2
NetworkOf: TypeAlias = Callable[[str, str], Awaitable[NetworkUse | None]]


async def _of_none(_device_id: str, _app: str) -> NetworkUse | None:
    return None


class DeviceFetches(Struct):
    """How this host makes fetches, none if `fetcher` is None.

    `network_of` returns the network of a program that this host installed on a device, by the device's id and the
    program's name, or None for another program.
    """

    fetcher: ProgramFetcher | None = None
    network_of: NetworkOf = _of_none


class _OpenFetch(Struct):
    """A fetch under way. `body` grows until it has the request's `size`."""

    fetch: Fetch
    message_id: bytes
    body: bytearray = field(default_factory=bytearray)
    is_complete: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class ConnectionFetches:
    """The fetches of one connection."""

    def __init__(self, link: DeviceLink, fetches: DeviceFetches) -> None:
        self._link = link
        self._fetches = fetches
        self._open: dict[bytes, _OpenFetch] = {}

    def receive(self, connection: LinkConnection, message: Fetch | FetchPiece, envelope: Envelope) -> None:
        """Take a message of the device."""
        if isinstance(message, Fetch):
            self._begin(connection, message, envelope.id)
        else:
            self._take(message, envelope.re)

    def end(self) -> None:
        """End all fetches, without an answer."""
        for opened in self._open.values():
            if opened.task is not None:
                opened.task.cancel()

    def _begin(self, connection: LinkConnection, fetch: Fetch, message_id: bytes) -> None:
        """Begin a fetch, or send the reason for the refusal."""
        fetcher = self._fetches.fetcher
        if message_id in self._open:
            return
        if len(self._open) >= MAX_AT_ONCE:
            self._link.send_error("fetch_busy", f"{MAX_AT_ONCE} fetches are under way", re=message_id)
        elif fetcher is None:
            self._link.send_error("fetch_refused", "this host makes no fetches", re=message_id)
        elif fetch.size > MAX_BODY_BYTES:
            text = f"a body of {fetch.size:,} bytes, at most {MAX_BODY_BYTES:,}"
            self._link.send_error("fetch_too_large", text, re=message_id)
        else:
            opened = _OpenFetch(fetch, message_id)
            if not fetch.size:
                opened.is_complete.set()
            opened.task = connection.start(self._carry_out(connection, fetcher, opened), "fetch")
            if opened.task is not None:
                self._open[message_id] = opened

    def _take(self, piece: FetchPiece, message_id: bytes | None) -> None:
        """Take the next bytes of a request's body. A piece of no fetch under way is ignored."""
        opened = self._open.get(message_id or b"")
        if opened is None or opened.is_complete.is_set():
            return
        opened.body += piece.data
        if len(opened.body) >= opened.fetch.size:
            opened.is_complete.set()

    async def _carry_out(self, connection: LinkConnection, fetcher: ProgramFetcher, opened: _OpenFetch) -> None:
        message_id = opened.message_id
        try:
            async with asyncio.timeout(min(opened.fetch.timeout_ms / 1000, MAX_FETCH_S)):
                answer = await self._answer(fetcher, opened)
        except FetchFailed as exc:
            self._link.send_error(exc.fault, exc.message, re=message_id)
        except TimeoutError:
            self._link.send_error("fetch_timeout", "there was no complete answer in time", re=message_id)
        except MicroclawError as exc:
            self._link.send_error("fetch_failed", exc.message, re=message_id)
        else:
            _send(connection, answer, message_id)
        finally:
            self._open.pop(message_id, None)

    async def _answer(self, fetcher: ProgramFetcher, opened: _OpenFetch) -> ProgramAnswer:
        """Have the request made, once it is complete. Raises MicroclawError."""
        link = self._link
        fetch = opened.fetch
        owner = link.parts.owner_of(link.endpoint)
        network = None
        if owner is not None:
            network = await self._fetches.network_of(owner.device_id, fetch.app)
        if network is None:
            raise FetchFailed("fetch_refused", f"this host has installed no program {fetch.app[:40]!r} there")
        await opened.is_complete.wait()
        if len(opened.body) != fetch.size:
            raise FetchFailed("fetch_too_large", f"the request's body has more than {fetch.size:,} bytes")
        request = ProgramRequest(
            device=link.name,
            app=fetch.app,
            method=fetch.method,
            url=fetch.url,
            headers=fetch.headers,
            body=bytes(opened.body),
            most=fetch.most,
        )
        return await fetcher.fetch(request, network)


def _send(connection: LinkConnection, answer: ProgramAnswer, message_id: bytes) -> None:
    """Send an answer: its head, then its body in pieces. Nothing happens if the device has left."""
    session = connection.session
    with suppress(DeviceUnreachable):
        session.send(Fetched(answer.status, answer.headers, len(answer.body)), re=message_id)
        for start in range(0, len(answer.body), MAX_PIECE_BYTES):
            session.send(FetchPiece(answer.body[start : start + MAX_PIECE_BYTES]), re=message_id)
        connection.pump()
