"""HTTP on a device's connection until its WebSocket takes it over, and plain answers. Authenticates no device."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NamedTuple

from aiohttp import web

from microclaw.devices.link.limits import ConnectionLimits

MAX_HEAD_FIELD_BYTES: Final = 2048
_ACCEPT_PAUSE_S: Final = 0.1
_log = logging.getLogger(__name__)


class HttpConnection(web.RequestHandler):
    """aiohttp's HTTP on one connection, until its Connection takes the transport over. It counts in the limits.

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
        """Create it. The rest of a refused body is read for `linger_s`, because a reset would lose the answer."""
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            # aiohttp takes None for "no access log", which its types do not say.
            access_log=None,  # type: ignore[arg-type]
            # This also ends a connection whose request does not come.
            keepalive_timeout=timeout_s,
            max_field_size=MAX_HEAD_FIELD_BYTES,
            max_line_size=MAX_HEAD_FIELD_BYTES,
            lingering_time=linger_s,
            # A small compressed body could grow to gigabytes before the request is checked.
            auto_decompress=False,
        )
        self.address = address
        self.has_asked = False
        self._counts = counts
        self._on_no_request = on_no_request
        self._is_gone = False
        self.is_arriving = True

    def note_authenticated(self) -> None:
        if self.is_arriving:
            self.is_arriving = False
            self._counts.note_authenticated(self.address)

    def leave(self) -> None:
        self.note_authenticated()
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
        """Answer bytes that are not HTTP, without the library's traceback, which any client could fill the log with."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        _log.debug("link: %s speaks no HTTP: %s", request.remote, exc)
        return plain_answer(status, "not HTTP")


class WebSocketRequest(NamedTuple):
    """A request for a WebSocket: `answer` ends the handshake.

    `http` has the transport until then, and is notified of its end.
    """

    http: HttpConnection
    transport: asyncio.Transport
    answer: Callable[[], Awaitable[object]]


def plain_answer(status: int, text: str) -> web.Response:
    """Build an answer in words, after which the connection ends."""
    response = web.Response(status=status, text=text + "\n")
    response.force_close()
    return response


async def accept_connections(listening: socket.socket, protocol: str) -> AsyncIterator[tuple[socket.socket, str]]:
    """Yield each new connection with the address of its client. Ends only if it is cancelled."""
    loop = asyncio.get_running_loop()
    listening.settimeout(0)
    while True:
        try:
            peer, address = await loop.sock_accept(listening)
        except OSError as exc:
            # No file descriptor is free. Waiting connections stay in the kernel's queue.
            _log.warning("%s: cannot accept: %s", protocol, exc)
            await asyncio.sleep(_ACCEPT_PAUSE_S)
        else:
            yield peer, str(address[0])
