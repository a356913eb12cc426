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
from functools import partial
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from microclaw.addresses import bracketed, is_loopback
from microclaw.agent.inbox import Inbox
from microclaw.api.caller import Caller
from microclaw.api.credentials import Callers
from microclaw.api.failures import Refused
from microclaw.api.gateway_chats import CHANNEL, Approve, Client, GatewayChats, Message, read_message
from microclaw.api.request_check import AllowedHosts, check_head
from microclaw.api.server import HEAD_TIMEOUT_S
from microclaw.auth.approvals import Approvals
from microclaw.auth.people import OWNER
from microclaw.auth.tokens import PersonTokens, TokenWatch
from microclaw.config.settings import GatewaySettings
from microclaw.errors import MicroclawError
from microclaw.operations.operation import Access

_log = logging.getLogger(__name__)
_protocol_log = logging.getLogger(f"{__name__}.protocol")  # any peer can fill it
_protocol_log.disabled = True

PATHS: Final = ("/", "/ws")
SUBPROTOCOL: Final = "microclaw.chat"
MAX_MESSAGE_BYTES: Final = 64 << 10
MAX_OPENING: Final = 128  # connections that are not accepted yet
MAX_UNREAD_BYTES: Final = 4 << 20  # answers to pings are written, whether they are read or not
SEND_S: Final = 10.0  # one message may wait this long for its reader
CLOSE_S: Final = 2.0
PING_S: Final = 30.0
PONG_S: Final = 15.0
POLICY_VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013
_OFFERED: Final = "bearer."
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
        here = is_loopback(settings.host)
        least = Access.OPEN if here and settings.open else Access.ASK
        self._callers = Callers(
            tokens,
            access=lambda _method, _path: least,
            local=(local_token, _LOCAL) if here and local_token else None,
            next_step=_HOW_TO_COME_IN,
        )
        self._allowed_hosts = AllowedHosts(settings.host)
        self._send_s = send_s
        self._head_s = head_s
        self._limit = settings.clients
        self._tokens = tokens
        self.chats = GatewayChats(inbox, approvals)
        self._opening: dict[ServerConnection, None] = {}
        # An assigned id is never one of an earlier run, whose conversation would be taken over with it.
        self._number = int(now_s() * 10)

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncGenerator[str]:
        """Gives its address, `ws://host:port`."""
        host, port = listener.getsockname()[:2]
        server = serve(
            self._handle,
            sock=listener,
            process_request=self._admit,
            select_subprotocol=lambda _, offered: next((one for one in offered if one == SUBPROTOCOL), None),
            create_connection=partial(_Connection, self._opening),  # type: ignore[arg-type]  # it makes one
            compression=None,
            server_header=None,
            open_timeout=self._head_s,
            close_timeout=CLOSE_S,
            ping_interval=PING_S,
            ping_timeout=PONG_S,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=1,
            logger=_protocol_log,
        )
        async with self.chats, server:  # whose end closes each with 1001
            yield f"ws://{bracketed(host)}:{port}"

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """The same checks as the API. On a network neither `settings.open` nor the local token counts."""
        sent = list(request.headers.raw_items())
        if "Authorization" not in request.headers:  # a browser can set no header: it offers bearer.TOKEN besides
            offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).replace(" ", "").split(",")
            secrets = [one.removeprefix(_OFFERED) for one in offered if one.startswith(_OFFERED)]
            sent += [("Authorization", f"Bearer {one}") for one in secrets]
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in sent]
        path = request.path.partition("?")[0]
        scope = {"type": "websocket", "scheme": "http", "method": "GET", "path": path, "headers": headers}
        try:
            check_head(scope, self._allowed_hosts)
            found = await self._callers.caller({**scope, "client": connection.remote_address})
            if path not in PATHS:
                raise Refused(404, "not_found", "the chat gateway is a WebSocket at / and /ws")
        except Refused as exc:
            answer = exc.response(path)
            return Response(answer.status_code, "Refused", Headers(answer.headers.items()), bytes(answer.body))
        assert isinstance(connection, _Connection)
        connection.caller = found or _LOCAL
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, _Connection)
        self._opening.pop(connection, None)
        caller = connection.caller
        async with self._tokens.watching(caller.source) as watch:
            self._number += 1
            client = Client(connection, f"{CHANNEL}_{self._number}", caller, self._send_s)
            if len(self.chats.clients) >= self._limit:
                _log.warning("gateway: %s is refused: %d are connected", connection.remote_address, self._limit)
                await client.close(TRY_AGAIN_LATER, "too many clients")
                return
            self.chats.clients.add(client)
            ending = asyncio.create_task(_end_with_token(client, watch), name=f"gateway: end {client.chat_id}")
            try:
                while True:
                    text = await connection.recv()
                    if not watch.check():
                        await ending
                    await self._take(client, text, watch)
            except ConnectionClosed:
                pass
            finally:
                client.is_open = False
                self.chats.clients.discard(client)
                ending.cancel()
                await asyncio.wait((ending,))

    async def _take(self, client: Client, text: str | bytes, watch: TokenWatch) -> None:
        if isinstance(text, bytes):
            await client.send("error", code="bad_message", message="messages are JSON in text frames")
            return
        try:
            message = read_message(text)
            if watch.token_id is not None and isinstance(message, Message | Approve):
                await self._tokens.fresh()
                if not watch.check():
                    return  # it ends the connection
            if message is not None:
                await self.chats.take(client, message)
        except MicroclawError as exc:
            await client.send("error", code=exc.code, message=exc.message)
        except Exception:  # a fault of ours with one message must not end the connection
            _log.exception("gateway: a message of %s failed", client.chat_id)
            text = "something went wrong inside the host; its log says what"
            await client.send("error", code="internal", message=text)


class _Connection(ServerConnection):
    """Of those that are `opening` the oldest gives way where there are too many."""

    caller: Caller

    def __init__(self, opening: dict[ServerConnection, None], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._opening = opening

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._opening[self] = None
        if len(self._opening) > MAX_OPENING:
            oldest = next(iter(self._opening))
            del self._opening[oldest]
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._opening.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.transport.abort()


async def _end_with_token(client: Client, watch: TokenWatch) -> None:
    await watch.until_ended()
    _log.info("gateway: client %s is closed: its token ended", client.chat_id)
    await client.close(POLICY_VIOLATION, "the token is no longer valid")
