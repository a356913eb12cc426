"""The chat gateway of docs/protocols/chat-gateway.md: conversations over WebSockets. It stores none itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias, cast
from weakref import ref

import msgspec
from msgspec import Meta, Struct
from websockets import CloseCode, ConnectionClosed, Headers, Request, Response, State
from websockets.asyncio.server import ServerConnection, serve

from microclaw.addresses import bracketed, is_loopback
from microclaw.agent.turn.inbox import Inbox
from microclaw.agent.turn.outbox import events_of
from microclaw.conversion import decode_json
from microclaw.errors import MicroclawError, UnknownName
from microclaw.events import Answer, Inbound, TurnEvent
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import ApprovalOutcome, PendingApproval
from microclaw.host.auth.people import OWNER
from microclaw.host.auth.tokens import PersonTokens, TokenWatch
from microclaw.host.config.settings import GatewaySettings
from microclaw.host.operations.operation import Access
from microclaw.interfaces.api.caller import Caller
from microclaw.interfaces.api.credentials import Callers
from microclaw.interfaces.api.failures import Refused
from microclaw.interfaces.api.request_check import AllowedHosts, check_head
from microclaw.interfaces.api.server import HEAD_TIMEOUT_S
from microclaw.interfaces.channels.delivery import ChannelTasks

_log = logging.getLogger(__name__)

CHANNEL: Final = "ws"
# The device keeps it in 32 bytes with the final NUL.
MAX_CHAT_ID_BYTES: Final = 31
# Connections that are not accepted yet.
MAX_OPENING: Final = 128
_OFFERED: Final = re.compile(r"(?:^|[ ,])bearer\.([^ ,]*)")
# The caller with the local token, or without any if none is needed.
_LOCAL: Final = Caller(OWNER.person_id, direct=False, source="")
_HOW_TO_COME_IN: Final = "send the token in gateway.token of the data folder, or: microclaw person tokens --add NAME"


class ClientMessage(Struct, frozen=True):
    content: Annotated[str, Meta(pattern=r"\S")]
    chat_id: str | None = None

    def __post_init__(self) -> None:
        chat_id = self.chat_id or ""
        if not chat_id.isprintable() or len(chat_id.encode()) > MAX_CHAT_ID_BYTES:
            raise ValueError(f'"chat_id" is at most {MAX_CHAT_ID_BYTES} bytes of printable characters')


class ClientPing(Struct, frozen=True, omit_defaults=True):
    ts: int | float | Annotated[str, Meta(max_length=64)] | None = None


class Subscribe(Struct, frozen=True):
    events: frozenset[str]


class ClientApproval(Struct, frozen=True):
    approval_id: str
    approved: bool


class _Typed(Struct):
    type: str


_Request: TypeAlias = ClientMessage | ClientPing | Subscribe | ClientApproval
_FORMS: Final = {"message": ClientMessage, "ping": ClientPing, "subscribe": Subscribe, "approve": ClientApproval}


def conversation_id(token_id: str, chat_id: str) -> str:
    """Return the conversation's id in the journal, different for every pair of token ("" without one) and chat id.

    Without a token `ws_client1` becomes `client1`, whose file is MimiClaw's; any other id has an "@", as no such name
    has.
    """
    if token_id:
        return f"{token_id}@{chat_id}"
    name = chat_id.removeprefix("ws_")
    if name != chat_id and re.fullmatch(r"[A-Za-z0-9._-]+", name):
        return name
    return f"@{chat_id}"


class GatewayClient(ServerConnection):
    """One client's connection. `chat_id` is the visible id; `conversation_id` is the conversation's."""

    caller: Caller
    watch: TokenWatch
    chat_id: str
    hears_approvals = False

    @property
    def is_open(self) -> bool:
        return self.state is State.OPEN and not self.transport.is_closing() and self.watch.check()

    @property
    def conversation_id(self) -> str:
        return conversation_id(self.caller.source, self.chat_id)

    def is_asked(self, pending: PendingApproval) -> bool:
        """Return True if the question is of this client's conversation; a client does not see other questions."""
        return (pending.channel, pending.chat_id) == (CHANNEL, self.conversation_id)

    async def tell(self, within_s: float, type_: str, **fields: object) -> bool:
        """Send a message, and return True if it was written.

        A client that reads nothing for too long is disconnected. A lone surrogate becomes "?".
        """
        text = json.dumps({"type": type_, **fields}, ensure_ascii=False, separators=(",", ":"))
        try:
            async with asyncio.timeout(within_s):
                if self.is_open:
                    await self.send(text.encode(errors="replace").decode())
        except (TimeoutError, ConnectionClosed):
            self.transport.abort()
        # On an aborted connection `send` returns as if it had written.
        return self.is_open

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Answers to pings are written even if the client does not read them.
        if self.transport.get_write_buffer_size() > 4 << 20:
            self.transport.abort()


@dataclass(eq=False)
class Gateway:
    """The gateway's server: inside `async with gateway.serving(listener)` clients can connect; leaving sends each 1001.

    On loopback `local_token` is accepted besides people's tokens, and with `settings.open` none is needed.
    """

    settings: GatewaySettings
    inbox: Inbox
    tokens: PersonTokens
    approvals: Approvals
    local_token: str | None = None
    # A message may wait this long for its reader.
    send_s: float = 10.0
    head_s: float = HEAD_TIMEOUT_S

    def __post_init__(self) -> None:
        is_local = is_loopback(self.settings.host)
        least = Access.OPEN if is_local and self.settings.open else Access.ASK
        local = None
        if is_local and self.local_token:
            local = (self.local_token, _LOCAL)
        self._callers = Callers(self.tokens, access=lambda *_: least, local=local, next_step=_HOW_TO_COME_IN)
        self._tasks = ChannelTasks()
        self._newest: deque[ref[GatewayClient]] = deque(maxlen=MAX_OPENING)
        self.clients: set[GatewayClient] = set()
        # An assigned id must never be an id of an earlier run: its client would get that conversation.
        self._numbers = itertools.count(time.time_ns())
        self.approvals.listen(self._tell_all)

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncGenerator[str]:
        """Serve inside, and yield the address, `ws://host:port`."""
        host, port = listener.getsockname()[:2]
        server = serve(
            self._serve,  # type: ignore[arg-type]  # each is a Client
            sock=listener,
            process_request=self._admit,  # type: ignore[arg-type]
            select_subprotocol=lambda _, offered: next((name for name in offered if name == "microclaw.chat"), None),
            create_connection=self._connection,  # type: ignore[arg-type]
            compression=None,
            server_header=None,
            open_timeout=self.head_s,
            close_timeout=2,
            ping_interval=30,
            ping_timeout=15,
            max_size=64 << 10,
            # Any peer could fill the log.
            logger=logging.Logger(__name__, logging.CRITICAL + 1),
        )
        # The end of the server closes each client with 1001.
        async with self._tasks, server:
            self._tasks.start(self._deliver(), "gateway: deliver")
            yield f"ws://{bracketed(host)}:{port}"

    def _connection(self, *args: Any, **options: Any) -> GatewayClient:
        """Make a client; a connection that is not accepted is ended after MAX_OPENING newer ones."""
        if len(self._newest) == MAX_OPENING:
            oldest = self._newest[0]()
            if oldest is not None and oldest.state is State.CONNECTING:
                # It may get its transport just now, so it is looked up later.
                oldest.loop.call_soon(lambda: oldest.transport.abort())
        client = GatewayClient(*args, **options)
        self._newest.append(ref(client))
        return client

    async def _admit(self, client: GatewayClient, request: Request) -> Response | None:
        """Check the request like the API does. On a network neither `settings.open` nor the local token counts."""
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.raw_items()]
        if "Authorization" not in request.headers:
            # A browser cannot set this header, so it offers bearer.TOKEN as a subprotocol.
            protocols = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
            for token in _OFFERED.findall(protocols):
                headers.append((b"authorization", f"Bearer {token}".encode("latin-1")))
        path = request.path.partition("?")[0]
        scope = {"scheme": "http", "method": "GET", "path": path, "headers": headers, "client": client.remote_address}
        try:
            check_head(scope, AllowedHosts(self.settings.host))
            client.caller = await self._callers.caller(scope) or _LOCAL
            if path not in ("/", "/ws"):
                raise Refused(404, "not_found", "the chat gateway is a WebSocket at / and /ws")
        except Refused as exc:
            answer = exc.response(path)
            return Response(answer.status_code, "Refused", Headers(answer.headers.items()), bytes(answer.body))
        return None

    async def _serve(self, client: GatewayClient) -> None:
        async with self.tokens.watch(client.caller.source) as client.watch:
            if len(self.clients) >= self.settings.clients:
                _log.warning("gateway: %s is refused: %d are connected", client.remote_address, len(self.clients))
                await client.close(CloseCode.TRY_AGAIN_LATER, "too many clients")
                return
            client.chat_id = f"{CHANNEL}_{next(self._numbers)}"
            self.clients.add(client)
            watch_task = asyncio.create_task(self._close_at_end(client), name=f"gateway: token of {client.chat_id}")
            try:
                while True:
                    await self._take(client, await client.recv())
            finally:
                watch_task.cancel()
                self.clients.discard(client)

    async def _close_at_end(self, client: GatewayClient) -> None:
        await client.watch.until_ended()
        await client.close(CloseCode.POLICY_VIOLATION, "the token is no longer valid")

    async def _take(self, client: GatewayClient, text: str | bytes) -> None:
        """Handle a client's message, or send the error."""
        try:
            message = _read_message(text)
        except msgspec.ValidationError as exc:
            await self._send_error(client, "bad_message", str(exc))
        except (msgspec.DecodeError, RecursionError):
            await self._send_error(client, "bad_json", "a message is one JSON object")
        else:
            if message is not None:
                await self._act_safely(client, message)

    async def _act_safely(self, client: GatewayClient, message: _Request) -> None:
        try:
            await self._act(client, message)
        except MicroclawError as exc:
            await self._send_error(client, exc.code, exc.message)
        except Exception:
            # A fault of the host with one message must not end the connection.
            _log.exception("gateway: a message of %s failed", client.chat_id)
            await self._send_error(client, "internal", "something went wrong inside the host; its log says what")

    async def _send_error(self, client: GatewayClient, code: str, message: str) -> None:
        await client.tell(self.send_s, "error", code=code, message=message)

    async def _act(self, client: GatewayClient, message: _Request) -> None:
        if client.caller.source and isinstance(message, ClientMessage | ClientApproval):
            await self.tokens.catch_up()
        if not client.watch.check():
            return
        match message:
            case ClientMessage(content, chat_id):
                if chat_id and chat_id != client.chat_id:
                    client.chat_id = chat_id
                    await self._tell_what_waits(client)
                inbound = Inbound(CHANNEL, client.conversation_id, content, person_id=client.caller.person_id)
                self._tasks.start(self._answer(client, inbound), f"gateway: {client.chat_id}")
            case ClientPing():
                await client.tell(self.send_s, "pong", **msgspec.to_builtins(message))
            case Subscribe(events):
                client.hears_approvals = "approval" in events
                await self._tell_what_waits(client)
            case ClientApproval(approval_id, approved):
                questions = [pending for pending in self.approvals.pending() if client.is_asked(pending)]
                if all(pending.approval_id != approval_id for pending in questions):
                    raise UnknownName("no pending approval has this approval_id: it was decided or has expired")
                self.approvals.decide(approval_id, approved=approved, by=client.caller.person_id)

    async def _answer(self, client: GatewayClient, inbound: Inbound) -> None:
        """Answer a message.

        While it waits for room, other messages are read: the running turn may wait for a yes.
        """
        try:
            accepted = await self.inbox.accept(inbound, when_full="wait")
        except MicroclawError as exc:
            await self._send_error(client, exc.code, exc.message)
        else:
            await self._hand_over(inbound.chat_id, accepted.events)

    async def _tell_what_waits(self, client: GatewayClient) -> None:
        self.inbox.outbox.look_again(CHANNEL)
        for pending in self.approvals.pending():
            await self._tell_of(pending, client)

    def _tell_all(self, news: PendingApproval | ApprovalOutcome) -> None:
        for client in self.clients:
            self._tasks.start(self._tell_of(news, client), f"gateway: question to {client.chat_id}")

    async def _tell_of(self, news: PendingApproval | ApprovalOutcome, client: GatewayClient) -> None:
        fields: dict[str, object]
        if isinstance(news, PendingApproval):
            pending = news
            type_ = "approval"
            fields = {"content": news.action, "detail": news.detail, "expires_s": news.expires_s}
        else:
            pending = news.pending
            type_ = "approval_settled"
            fields = {"outcome": news.outcome}
        if client.hears_approvals and client.is_asked(pending):
            await client.tell(self.send_s, type_, approval_id=pending.approval_id, **fields)

    async def _deliver(self) -> None:
        def open_chats() -> set[str]:
            return {client.conversation_id for client in self.clients if client.is_open}

        async for outbound in self.inbox.outbox.outgoing(CHANNEL, chats=open_chats):
            self._tasks.start(self._hand_over(outbound.chat_id, events_of(outbound)), "gateway: answer")

    async def _hand_over(self, journaled: str, events: AsyncGenerator[TurnEvent, None]) -> None:
        """Send the answer to all clients with this chat id; without a client it waits for one."""
        outbox = self.inbox.outbox
        async for answer in events:
            if isinstance(answer, Answer):
                if await self._send_answer(journaled, answer):
                    await outbox.note_delivered(answer.outbound_id)
                else:
                    await outbox.give_back(answer.outbound_id)

    async def _send_answer(self, journaled: str, answer: Answer) -> bool:
        """Send the answer to each client of the chat, and return True if one of them got it."""
        text = answer.text
        if answer.next_step is not None:
            text += f"\nnext: {answer.next_step}"
        sends = []
        for client in self.clients:
            if client.conversation_id == journaled:
                sends.append(client.tell(self.send_s, "response", content=text, chat_id=client.chat_id))
        return any(await asyncio.gather(*sends))


def _read_message(text: str | bytes) -> _Request | None:
    """Parse a message; None for an unknown type, which is of another version.

    Raises msgspec.DecodeError, its ValidationError for a wrong form, and RecursionError.
    """
    if isinstance(text, bytes):
        raise msgspec.ValidationError("messages are JSON in text frames")
    form = _FORMS.get(decode_json(text, _Typed).type)
    if form is None:
        return None
    return cast("_Request", decode_json(text, form))
