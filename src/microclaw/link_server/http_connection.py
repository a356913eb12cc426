"""HTTP on a device's connection until its WebSocket takes it over, and plain answers. It lets nobody in."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import web

from microclaw.link_server.limits import ConnectionLimits

MAX_HEAD_FIELD_BYTES: Final = 2048
_ACCEPT_PAUSE_S: Final = 0.1
_log = logging.getLogger(__name__)


class HttpConnection(web.RequestHandler):
    """aiohttp's HTTP on one connection, until its Connection takes the transport over; its place in the limits.

    `on_no_request` is called for a client that never sent an HTTP request.
    """

    __slots__ = ("_counts", "_is_gone", "_on_no_request", "address", "has_asked", "is_arriving")

    def __init__(
        self,
        server: web.Server,
        counts: ConnectionLimits,
        address: str,
        *,
        on_no_request: Callable[[], None],
        timeout_s: float,
        linger_s: float = 0,
    ) -> None:
        """`linger_s`: so long the rest of a refused body is read: a reset of what is unread would lose the answer."""
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # what it takes for none
            keepalive_timeout=timeout_s,  # it also ends a request that does not come
            max_field_size=MAX_HEAD_FIELD_BYTES,
            max_line_size=MAX_HEAD_FIELD_BYTES,
            lingering_time=linger_s,
            auto_decompress=False,  # a small body would be gigabytes, before anybody has looked at the request
        )
        self.address = address
        self.has_asked = False
        self._counts = counts
        self._on_no_request = on_no_request
        self._is_gone = False
        self.is_arriving = True

    def known(self) -> None:
        if self.is_arriving:
            self.is_arriving = False
            self._counts.known(self.address)

    def leave(self) -> None:
        self.known()
        if not self._is_gone:
            self._is_gone = True
            self._counts.leave(self.address)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if not self.has_asked:
            self._on_no_request()
        self.leave()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Not HTTP: an answer without the library's traceback, of which anybody could fill the log."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        _log.debug("link: %s speaks no HTTP: %s", request.remote, exc)
        return plain_answer(status, "not HTTP")


def plain_answer(status: int, text: str) -> web.Response:
    """An answer in words, after which the connection ends."""
    response = web.Response(status=status, text=text + "\n")
    response.force_close()
    return response


async def accepted(listening: socket.socket, protocol: str) -> AsyncIterator[tuple[socket.socket, str]]:
    """Each connection that comes in, and the address of its client; ends only when it is cancelled."""
    loop = asyncio.get_running_loop()
    listening.setblocking(False)
    while True:
        try:
            peer, address = await loop.sock_accept(listening)
        except OSError as exc:  # no file descriptor is free: those that wait stay in the kernel's queue
            _log.warning("%s: cannot accept: %s", protocol, exc)
            await asyncio.sleep(_ACCEPT_PAUSE_S)
        else:
            yield peer, str(address[0])
