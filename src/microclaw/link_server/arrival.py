"""A connection that came in: its place in the crowd, and aiohttp's HTTP until it is a WebSocket. Lets nobody in.

The one file that knows how aiohttp hands a connection over (docs/decisions/0008).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from microclaw.link_server.limits import Crowd
from microclaw.link_server.websocket import LinkSocket

_log = logging.getLogger(__name__)


class Arrival:
    """One newcomer in the crowd."""

    __slots__ = ("_crowd", "_is_gone", "_is_known", "host")

    def __init__(self, crowd: Crowd, host: str) -> None:
        self._crowd = crowd
        self.host = host
        self._is_known = self._is_gone = False

    def known(self) -> None:
        if not self._is_known:
            self._is_known = True
            self._crowd.known(self.host)

    def leave(self) -> None:
        self.known()
        if not self._is_gone:
            self._is_gone = True
            self._crowd.leave(self.host)


class LinkProtocol(web.RequestHandler):
    """HTTP by aiohttp; after the upgrade what comes goes to `link_socket`, past aiohttp's queue.

    When its handshake is done, aiohttp calls `set_parser` with its own reader, for what came behind the request and
    for all that follows. A version that does not leaves this protocol as it is, and the socket reads in a task.
    Who came and never asked for anything in HTTP is told to `on_no_request`.
    """

    __slots__ = ("_feed", "_on_no_request", "arrival", "has_asked", "link_socket")

    def __init__(
        self,
        server: web.Server,
        arrival: Arrival,
        *,
        on_no_request: Callable[[], None],
        **options: Any,
    ) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self.arrival = arrival
        self.has_asked = False
        self.link_socket: LinkSocket | None = None
        self._on_no_request = on_no_request
        self._feed: Callable[[bytes], None] | None = None

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        if self.link_socket is None:
            super().set_parser(parser, data_received_cb)
            return
        self.link_socket.take_over()
        self._feed = self.link_socket.feed
        super().set_parser(_Feed(self.link_socket))  # type: ignore[arg-type]  # what it calls of a reader

    def data_received(self, data: bytes) -> None:
        if self._feed is not None:
            self._feed(data)
        else:
            super().data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.link_socket is not None:
            self.link_socket.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.link_socket is not None:
            self.link_socket.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.link_socket is not None:
            self.link_socket.lost()
        self._feed = None
        if not self.has_asked:
            self._on_no_request()
        self.arrival.leave()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Not HTTP: an answer without the library's traceback, of which a stranger could fill the log."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        _log.debug("link: %s speaks no HTTP: %s", request.remote, exc)
        return plain_answer(status, "not HTTP")


class _Feed:
    """Stands where aiohttp expects its reader, and gives what comes to the socket."""

    def __init__(self, socket: LinkSocket) -> None:
        self._socket = socket

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._socket.feed(data)
        return _GOES_ON

    def feed_eof(self) -> None:
        self._socket.lost()


def plain_answer(status: int, text: str) -> web.Response:
    """An answer in words, after which the connection ends."""
    response = web.Response(status=status, text=text + "\n")
    response.force_close()
    return response


_GOES_ON: Final = (False, b"")
