"""The chat gateway's server: accepts WebSockets and holds each to its limits. It keeps no conversation.

docs/protocols/chat-gateway.md is the contract.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.routing import Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from microclaw.addresses import bracketed, is_loopback
from microclaw.agent.inbox import Inbox
from microclaw.api.caller import BearerAuth, Caller, as_caller, caller_of
from microclaw.api.failures import failure_response
from microclaw.api.gateway_chats import CHANNEL, Client, GatewayChats
from microclaw.api.gateway_messages import Approve, Message, read_message
from microclaw.api.request_check import AllowedHosts, RequestCheck
from microclaw.api.server import HEAD_TIMEOUT_S, Listener, TimeoutConfig, UnreadTimeout, serving
from microclaw.auth.approvals import Approvals
from microclaw.auth.people import OWNER
from microclaw.auth.tokens import PersonTokens, TokenWatch
from microclaw.config.settings import GatewaySettings
from microclaw.errors import MicroclawError
from microclaw.operations.operation import Access
from microclaw.wire.host_api import Failure

_log = logging.getLogger(__name__)

PATHS: Final = ("/", "/ws")
SUBPROTOCOL: Final = "microclaw.chat"
MAX_MESSAGE_BYTES: Final = 64 << 10
SEND_S: Final = 10.0  # one message may wait this long for its reader
MAX_UNREAD_BYTES: Final = 4 << 20  # written and not taken: one message, and answers to pings
BODY_S: Final = 10.0
PING_S: Final = 30.0
PONG_S: Final = 15.0
GOING_AWAY: Final = 1001
TRY_AGAIN_LATER: Final = 1013
STOPPING: Final = "the host is stopping"
POLICY_VIOLATION: Final = 1008
ENDED: Final = "the token is no longer valid"
_LOCAL: Final = Caller(OWNER.person_id, direct=False, source="")  # who has the local token, or needs none
_HOW_TO_COME_IN: Final = "send the token in gateway.token of the data folder, or: microclaw person tokens --add NAME"


class Gateway:
    """`async with gateway.serving(listener)`: inside, clients are let in; leaving says 1001 to each.

    `local_token` opens it on loopback, besides people's tokens; `settings.open` needs none there.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        inbox: Inbox,
        tokens: PersonTokens,
        approvals: Approvals,
        local_token: str | None = None,
        now_s: Callable[[], float] = time.time,
        send_s: float = SEND_S,
        head_s: float = HEAD_TIMEOUT_S,
    ) -> None:
        self._send_s = send_s
        self._head_s = head_s
        self._limit = settings.clients
        self._tokens = tokens
        self._chats = GatewayChats(inbox, approvals)
        routes = [WebSocketRoute(path, self._handle) for path in PATHS]
        router = Router(routes, redirect_slashes=False, default=_elsewhere)
        self._app = _admitting(router, settings, tokens, local_token)
        self._clients: set[Client] = set()
        self._is_stopping = False
        # An assigned id is never one of an earlier run, whose conversation would be taken over with it.
        self._number = int(now_s() * 10)

    @property
    def clients(self) -> int:
        return len(self._clients)

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncGenerator[str]:
        """Gives its address, `ws://host:port`."""
        served = Listener("gateway", self._app, listener, self._limit, _Connection, _OPTIONS)
        host, port = listener.getsockname()[:2]
        async with (
            self._chats,
            asyncio.TaskGroup() as group,
            serving([served], group, head_timeout_s=self._head_s, unread_timeout_s=self._send_s),
        ):
            try:
                yield f"ws://{bracketed(host)}:{port}"
            finally:
                self._is_stopping = True
                await asyncio.gather(*(one.close(GOING_AWAY, STOPPING) for one in tuple(self._clients)))

    async def _handle(self, websocket: WebSocket) -> None:
        offered = websocket.scope["subprotocols"]
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        caller = await caller_of(websocket)
        async with self._tokens.watching(caller.source) as watch:
            self._number += 1
            client = Client(websocket, f"{CHANNEL}_{self._number}", caller)
            if self._is_stopping:
                await client.close(GOING_AWAY, STOPPING)
                return
            if len(self._clients) >= self._limit:
                _log.warning("gateway: %s is refused: %d clients are connected", websocket.client, self._limit)
                await client.close(TRY_AGAIN_LATER, "too many clients")
                return
            self._clients.add(client)
            try:
                await self._serve(client, websocket, watch)
            finally:
                self._clients.discard(client)
                self._chats.leave(client)

    async def _serve(self, client: Client, websocket: WebSocket, watch: TokenWatch) -> None:
        """Until the client leaves or its token ends, which is looked at before each message."""
        ending = asyncio.create_task(_end_with_token(client, watch), name=f"gateway: end {client.chat_id}")
        try:
            if watch.check():
                await self._chats.enter(client)
            while (event := await websocket.receive())["type"] == "websocket.receive":
                if not watch.check():
                    await ending
                elif (text := event.get("text")) is not None:
                    await self._take(client, text, watch)
                else:
                    await client.send("error", code="bad_message", message="messages are JSON in text frames")
        finally:
            client.is_open = False
            ending.cancel()
            await asyncio.wait((ending,))

    async def _take(self, client: Client, text: str, watch: TokenWatch) -> None:
        try:
            message = read_message(text)
            if watch.token_id is not None and isinstance(message, Message | Approve):
                await self._tokens.fresh()
                if not watch.check():
                    return  # it ends the connection
            if message is not None:
                await self._chats.take(client, message)
        except MicroclawError as exc:
            await client.send("error", code=exc.code, message=exc.message)
        except Exception:  # a fault of ours with one message must not end the connection
            _log.exception("gateway: a message of %s failed", client.chat_id)
            text = "something went wrong inside the host; its log says what"
            await client.send("error", code="internal", message=text)


class _Connection(UnreadTimeout, WebSocketsSansIOProtocol):
    """uvicorn's WebSocket over the websockets library. It reads one message at a time, so it needs no limit of a queue.

    `state.abort` of its scope cuts the connection, for which ASGI has no word. A handshake that is neither accepted nor
    refused within the time for a head is cut: uvicorn drops what the library's parser says of a head that it refuses.
    """

    _handshake_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.app_state = {**self.app_state, "abort": transport.abort}
        assert isinstance(self.config, TimeoutConfig)
        self._handshake_timer = self.loop.call_later(self.config.head_timeout_s, self._end_handshake)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._handshake_timer is not None:
            self._handshake_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_complete:
            self._refuse_head()
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:  # pings are answered, whether it reads or not
            self.transport.abort()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # refused; uvicorn misses it and logs an error

    def _refuse_head(self) -> None:
        """Write the parser's own answer (431, 414) or 400, and close."""
        self.handshake_complete = self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_HEAD)
        self.transport.close()

    def _end_handshake(self) -> None:
        if not self.handshake_complete or self.transport.is_closing():
            self.transport.abort()


_BAD_HEAD: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_OPTIONS: Final = {
    "ws_max_size": MAX_MESSAGE_BYTES,
    "ws_ping_interval": PING_S,
    "ws_ping_timeout": PONG_S,
    "ws_per_message_deflate": False,
}


def _admitting(app: ASGIApp, settings: GatewaySettings, tokens: PersonTokens, local_token: str | None) -> ASGIApp:
    """The same checks as the API. On a network neither `settings.open` nor the local token counts."""
    here = is_loopback(settings.host)
    is_open = here and settings.open
    least = Access.OPEN if is_open else Access.ASK
    bearer = BearerAuth(
        inside=app,
        outside=as_caller(app, _LOCAL) if is_open else None,
        tokens=tokens,
        access=lambda _method, path: least if path in PATHS else None,
        local=(local_token, _LOCAL) if here and local_token else None,
        next_step=_HOW_TO_COME_IN,
    )
    return RequestCheck(bearer, body_bytes=None, body_s=BODY_S, allowed_hosts=AllowedHosts(settings.host))


async def _elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    response = failure_response(Failure("not_found", "the chat gateway is a WebSocket at / and /ws"), 404)
    response.headers["Connection"] = "close"
    await response(scope, receive, send)


async def _end_with_token(client: Client, watch: TokenWatch) -> None:
    await watch.until_ended()
    _log.info("gateway: client %s is closed: its token ended", client.chat_id)
    await client.close(POLICY_VIOLATION, ENDED)
