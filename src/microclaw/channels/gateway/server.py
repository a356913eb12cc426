"""The gateway's door: listens, admits, counts clients, and carries messages between their sockets and the room."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web

from microclaw.agent.inbox import Inbox
from microclaw.channels.gateway.admission import SUBPROTOCOL, Admission, Refused
from microclaw.channels.gateway.client import CLOSE_S, Client
from microclaw.channels.gateway.messages import BadMessage, error, read_message
from microclaw.channels.gateway.room import Room
from microclaw.channels.gateway.scope import CHANNEL, Scope
from microclaw.channels.ports import Approvals, Tokens
from microclaw.config import GatewaySettings

_log = logging.getLogger(__name__)

PATHS: Final = frozenset({"/", "/ws"})
MAX_MESSAGE_BYTES: Final = 64 << 10
MAX_CONNECTIONS: Final = 64  # with those who have not said what they want
HEAD_S: Final = 10.0  # for a request's head
HEARTBEAT_S: Final = 30.0  # a client that answers no ping is gone
_HTTP_OPTIONS: Final[dict[str, Any]] = {
    "access_log": None,
    "keepalive_timeout": HEAD_S,  # it also ends a request that does not come
    "max_field_size": 4096,
    "max_line_size": 4096,
    "lingering_time": 0,
}


class Gateway:
    """`async with gateway.serving(listener)`: inside, clients are let in; leaving says 1001 to each."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        inbox: Inbox,
        tokens: Tokens,
        approvals: Approvals,
        origins: frozenset[str] = frozenset(),
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._limit = settings.clients
        self._admission = Admission(settings.host, tokens, origins=origins)
        self._room = Room(inbox, approvals)
        self._sockets: dict[Client, web.WebSocketResponse] = {}
        self._connections = 0
        # An assigned id is never one of an earlier run, whose conversation would be taken over with it.
        self._number = int(now_s() * 10)

    @property
    def clients(self) -> int:
        return len(self._sockets)

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncIterator[str]:
        """Its address, `ws://host:port`."""
        http = web.Server(self._handle)
        loop = asyncio.get_running_loop()
        async with self._room:
            door = await loop.create_server(lambda: self._protocol(http), sock=listener)
            try:
                host, port = listener.getsockname()[:2]
                yield f"ws://{f'[{host}]' if ':' in host else host}:{port}"
            finally:
                door.close()
                await asyncio.gather(*(_say_goodbye(*known) for known in tuple(self._sockets.items())))
                await http.shutdown(CLOSE_S)

    def _protocol(self, http: web.Server) -> _Connection:
        connection = _Connection(http, loop=asyncio.get_running_loop(), **_HTTP_OPTIONS)
        connection.count = self._count
        return connection

    def _count(self, change: int) -> bool:
        """Whether one more connection may be open."""
        self._connections += change
        return self._connections <= MAX_CONNECTIONS

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path not in PATHS:
            return _plain(404, "the chat gateway is a WebSocket at / and /ws")
        scope = await self._admission.admit(request.headers)
        if isinstance(scope, Refused):
            _log.info("gateway: %s is refused: %s", request.remote, scope.reason)
            return _plain(scope.status, scope.reason)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return _plain(426, "the chat gateway is a WebSocket", Upgrade="websocket")
        web_socket = web.WebSocketResponse(
            timeout=CLOSE_S,
            heartbeat=HEARTBEAT_S,
            protocols=(SUBPROTOCOL,),
            compress=False,
            max_msg_size=MAX_MESSAGE_BYTES + 1,  # aiohttp refuses what reaches it
        )
        await web_socket.prepare(request)
        transport = request.transport
        if transport is None:
            return web_socket
        if len(self._sockets) >= self._limit:
            _log.warning("gateway: %s is refused: %d clients are connected", request.remote, self._limit)
            await web_socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too many clients")
            return web_socket
        self._number += 1
        client = Client(web_socket, transport, f"{CHANNEL}_{self._number}")
        self._sockets[client] = web_socket
        try:
            await self._serve(client, web_socket, scope)
        finally:
            del self._sockets[client]
            self._room.leave(client)
        return web_socket

    async def _serve(self, client: Client, web_socket: web.WebSocketResponse, scope: Scope) -> None:
        writing = asyncio.create_task(client.write(), name=f"gateway: to {client.chat_id}")
        try:
            self._room.enter(client, scope)
            async for message in web_socket:
                if message.type is WSMsgType.TEXT:
                    await self._take(client, scope, message.data)
                elif message.type is WSMsgType.BINARY:
                    client.send(error("bad_message", "messages are JSON in text frames"))
        finally:
            writing.cancel()
            await asyncio.wait((writing,))
            client.close()

    async def _take(self, client: Client, scope: Scope, text: str) -> None:
        try:
            await self._room.take(client, scope, read_message(text))
        except BadMessage as exc:
            client.send(error(exc.reason, exc.message))
        except Exception:  # a fault of ours with one message must not end the connection
            _log.exception("gateway: a message of %s failed", client.chat_id)
            client.send(error("internal", "something went wrong inside the host; its log says what"))


class _Connection(web.RequestHandler):
    """aiohttp's HTTP for one connection; `count` knows how many there are."""

    __slots__ = ("count",)
    count: Callable[[int], bool]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self.count(1):
            assert isinstance(transport, asyncio.Transport)
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.count(-1)
        super().connection_lost(exc)

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
        return _plain(status, "not HTTP")


async def _say_goodbye(client: Client, web_socket: web.WebSocketResponse) -> None:
    await client.drain()
    await web_socket.close(code=WSCloseCode.GOING_AWAY, message=b"the host is stopping", drain=False)


def _plain(status: int, text: str, **headers: str) -> web.Response:
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    response = web.Response(status=status, text=f"{text}\n", headers=headers)
    response.force_close()
    return response
