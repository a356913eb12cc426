"""The chat gateway, as docs/protocols/chat-gateway.md has it: conversations over WebSockets. It keeps none itself."""

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
from typing import Annotated, Any, Final
from weakref import ref

import msgspec
from msgspec import Meta, Struct
from websockets import CloseCode, ConnectionClosed, Headers, Request, Response, State
from websockets.asyncio.server import ServerConnection, serve

from microclaw.addresses import bracketed, is_loopback
from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import events_of
from microclaw.api.caller import Caller
from microclaw.api.credentials import Callers
from microclaw.api.failures import Refused
from microclaw.api.request_check import AllowedHosts, check_head
from microclaw.api.server import HEAD_TIMEOUT_S
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval
from microclaw.auth.people import OWNER
from microclaw.auth.tokens import PersonTokens, TokenWatch
from microclaw.channels.delivery import ChannelTasks
from microclaw.config.settings import GatewaySettings
from microclaw.errors import MicroclawError, UnknownName
from microclaw.events import Answer, Inbound, TurnEvent
from microclaw.operations.operation import Access

_log = logging.getLogger(__name__)

CHANNEL: Final = "ws"
MAX_CHAT_ID_BYTES: Final = 31  # the device keeps it in 32 bytes with the final NUL
MAX_OPENING: Final = 128  # connections that are not accepted yet
_OFFERED: Final = re.compile(r"(?:^|[ ,])bearer\.([^ ,]*)")
_LOCAL: Final = Caller(OWNER.person_id, direct=False, source="")  # who has the local token, or needs none
_HOW_TO_COME_IN: Final = "send the token in gateway.token of the data folder, or: microclaw person tokens --add NAME"


class Message(Struct, frozen=True):
    content: Annotated[str, Meta(pattern=r"\S")]
    chat_id: str | None = None

    def __post_init__(self) -> None:
        chat_id = self.chat_id or ""
        if not chat_id.isprintable() or len(chat_id.encode()) > MAX_CHAT_ID_BYTES:
            raise ValueError(f'"chat_id" is at most {MAX_CHAT_ID_BYTES} bytes of printable characters')


class Ping(Struct, frozen=True, omit_defaults=True):
    ts: int | float | Annotated[str, Meta(max_length=64)] | None = None


class Subscribe(Struct, frozen=True):
    events: frozenset[str]


class Approve(Struct, frozen=True):
    approval_id: str
    approved: bool


class _Typed(Struct):
    type: str


_FORMS: Final = {"message": Message, "ping": Ping, "subscribe": Subscribe, "approve": Approve}


def conversation_id(token_id: str, chat_id: str) -> str:
    """The conversation's id in the journal, different for every pair of token ("" is none) and chat id.

    Without a token `ws_client1` becomes `client1`, whose file is MimiClaw's; any other has an "@", as no such name has.
    """
    if token_id:
        return f"{token_id}@{chat_id}"
    bare = chat_id.removeprefix("ws_")
    if bare != chat_id and re.fullmatch(r"[A-Za-z0-9._-]+", bare):
        return bare
    return f"@{chat_id}"


class Client(ServerConnection):
    """One client's connection. `chat_id` is the visible one; `journaled` the conversation's."""

    caller: Caller
    watch: TokenWatch
    chat_id: str
    hears_approvals = False

    @property
    def is_open(self) -> bool:
        return self.state is State.OPEN and not self.transport.is_closing() and self.watch.check()

    @property
    def journaled(self) -> str:
        return conversation_id(self.caller.source, self.chat_id)

    def is_asked(self, pending: PendingApproval) -> bool:
        """Another conversation's questions are not this client's to know of."""
        return (pending.channel, pending.chat_id) == (CHANNEL, self.journaled)

    async def tell(self, within_s: float, type_: str, **fields: object) -> bool:
        """True if it was written; a client that takes nothing for too long is cut. A lone surrogate becomes "?"."""
        text = json.dumps({"type": type_, **fields}, ensure_ascii=False, separators=(",", ":"))
        try:
            async with asyncio.timeout(within_s):
                if self.is_open:
                    await self.send(text.encode(errors="replace").decode())
        except (TimeoutError, ConnectionClosed):
            self.transport.abort()
        return self.is_open  # an aborted connection's `send` returns as if it were written

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_write_buffer_size() > 4 << 20:  # answers to pings are written, read or not
            self.transport.abort()


@dataclass(eq=False)
class Gateway:
    """`async with gateway.serving(listener)`: inside, clients are let in; leaving says 1001 to each. On loopback
    `local_token` opens it besides people's tokens, and `settings.open` needs none."""

    settings: GatewaySettings
    inbox: Inbox
    tokens: PersonTokens
    approvals: Approvals
    local_token: str | None = None
    send_s: float = 10.0  # one message may wait this long for its reader
    head_s: float = HEAD_TIMEOUT_S

    def __post_init__(self) -> None:
        here = is_loopback(self.settings.host)
        least = Access.OPEN if here and self.settings.open else Access.ASK
        if here and self.local_token:
            local = (self.local_token, _LOCAL)
        else:
            local = None
        self._callers = Callers(self.tokens, access=lambda *_: least, local=local, next_step=_HOW_TO_COME_IN)
        self._tasks = ChannelTasks()
        self._newest: deque[ref[Client]] = deque(maxlen=MAX_OPENING)
        self.clients: set[Client] = set()
        # An assigned id is never one of an earlier run, whose conversation would be taken over with it.
        self._numbers = itertools.count(time.time_ns())
        self.approvals.listen(self._tell_all)

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncGenerator[str]:
        """Gives its address, `ws://host:port`."""
        host, port = listener.getsockname()[:2]
        server = serve(
            self._serve,  # type: ignore[arg-type]  # each is a Client
            sock=listener,
            process_request=self._admit,  # type: ignore[arg-type]
            select_subprotocol=lambda _, offered: next((one for one in offered if one == "microclaw.chat"), None),
            create_connection=self._connection,  # type: ignore[arg-type]
            compression=None,
            server_header=None,
            open_timeout=self.head_s,
            close_timeout=2,
            ping_interval=30,
            ping_timeout=15,
            max_size=64 << 10,
            logger=logging.Logger(__name__, logging.CRITICAL + 1),  # any peer can fill it
        )
        async with self._tasks, server:  # whose end closes each with 1001
            self._tasks.start(self._deliver(), "gateway: deliver")
            yield f"ws://{bracketed(host)}:{port}"

    def _connection(self, *args: Any, **options: Any) -> Client:
        """One that is not accepted gives way when MAX_OPENING newer ones have come."""
        if len(self._newest) == MAX_OPENING:
            oldest = self._newest[0]()
        else:
            oldest = None
        if oldest is not None and oldest.state is State.CONNECTING:
            oldest.loop.call_soon(lambda: oldest.transport.abort())  # it may get its transport just now
        client = Client(*args, **options)
        self._newest.append(ref(client))
        return client

    async def _admit(self, client: Client, request: Request) -> Response | None:
        """The same checks as the API. On a network neither `settings.open` nor the local token counts."""
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.raw_items()]
        if "Authorization" not in request.headers:  # a browser can set no header: it offers bearer.TOKEN besides
            offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
            headers += [(b"authorization", f"Bearer {one}".encode("latin-1")) for one in _OFFERED.findall(offered)]
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

    async def _serve(self, client: Client) -> None:
        async with self.tokens.watching(client.caller.source) as client.watch:
            if len(self.clients) >= self.settings.clients:
                _log.warning("gateway: %s is refused: %d are connected", client.remote_address, len(self.clients))
                await client.close(CloseCode.TRY_AGAIN_LATER, "too many clients")
                return
            client.chat_id = f"{CHANNEL}_{next(self._numbers)}"
            self.clients.add(client)
            ending = asyncio.create_task(self._close_at_end(client), name=f"gateway: token of {client.chat_id}")
            try:
                while True:
                    await self._take(client, await client.recv())
            finally:
                ending.cancel()
                self.clients.discard(client)

    async def _close_at_end(self, client: Client) -> None:
        await client.watch.until_ended()
        await client.close(CloseCode.POLICY_VIOLATION, "the token is no longer valid")

    async def _take(self, client: Client, text: str | bytes) -> None:
        """Do what a client says, or tell it why not. An unknown type is of another version."""
        try:
            if isinstance(text, bytes):
                raise msgspec.ValidationError("messages are JSON in text frames")
            form = _FORMS.get(msgspec.json.decode(text, type=_Typed).type)
            if form is None:
                message = None
            else:
                message = msgspec.json.decode(text, type=form)
        except msgspec.ValidationError as exc:
            code = "bad_message"
            why = str(exc)
        except (msgspec.DecodeError, RecursionError):
            code = "bad_json"
            why = "a message is one JSON object"
        else:
            try:
                if message is None:
                    return None
                return await self._act(client, message)
            except MicroclawError as exc:
                code = exc.code
                why = exc.message
            except Exception:  # a fault of ours with one message must not end the connection
                _log.exception("gateway: a message of %s failed", client.chat_id)
                code = "internal"
                why = "something went wrong inside the host; its log says what"
        await client.tell(self.send_s, "error", code=code, message=why)
        return None

    async def _act(self, client: Client, message: Message | Ping | Subscribe | Approve) -> None:
        if client.caller.source and isinstance(message, Message | Approve):
            await self.tokens.fresh()
        if not client.watch.check():
            return
        match message:
            case Message(content, chat_id):
                if chat_id and chat_id != client.chat_id:
                    client.chat_id = chat_id
                    await self._tell_what_waits(client)
                inbound = Inbound(CHANNEL, client.journaled, content, person_id=client.caller.person_id)
                self._tasks.start(self._answer(client, inbound), f"gateway: {client.chat_id}")
            case Ping():
                await client.tell(self.send_s, "pong", **msgspec.to_builtins(message))
            case Subscribe(events):
                client.hears_approvals = "approval" in events
                await self._tell_what_waits(client)
            case Approve(approval_id, approved):
                if approval_id not in (one.approval_id for one in self.approvals.pending() if client.is_asked(one)):
                    raise UnknownName("nothing waits under this approval_id: it was decided, or its time is over")
                self.approvals.decide(approval_id, approved=approved, by=client.caller.person_id)

    async def _answer(self, client: Client, inbound: Inbound) -> None:
        """Have a message answered. While it waits for room, others are read: the running turn may wait for a yes."""
        try:
            accepted = await self.inbox.accept(inbound, when_full="wait")
        except MicroclawError as exc:
            await client.tell(self.send_s, "error", code=exc.code, message=exc.message)
        else:
            await self._hand_over(inbound.chat_id, accepted.events)

    async def _tell_what_waits(self, client: Client) -> None:
        self.inbox.outbox.look_again(CHANNEL)
        for pending in self.approvals.pending():
            await self._tell_of(pending, client)

    def _tell_all(self, news: PendingApproval | ApprovalOutcome) -> None:
        for client in self.clients:
            self._tasks.start(self._tell_of(news, client), f"gateway: question to {client.chat_id}")

    async def _tell_of(self, news: PendingApproval | ApprovalOutcome, client: Client) -> None:
        if isinstance(news, PendingApproval):
            told = {"content": news.action, "detail": news.detail, "expires_s": news.expires_s}
            type_ = "approval"
            pending = news
        else:
            type_ = "approval_settled"
            pending = news.pending
            told = {"outcome": news.outcome}
        if client.hears_approvals and client.is_asked(pending):
            await client.tell(self.send_s, type_, approval_id=pending.approval_id, **told)

    async def _deliver(self) -> None:
        outbox = self.inbox.outbox
        clients = self.clients
        async for outbound in outbox.outgoing(CHANNEL, chats=lambda: {c.journaled for c in clients if c.is_open}):
            self._tasks.start(self._hand_over(outbound.chat_id, events_of(outbound)), "gateway: answer")

    async def _hand_over(self, journaled: str, events: AsyncGenerator[TurnEvent, None]) -> None:
        """Send the answer to everybody with this chat id; with nobody there it waits for somebody."""
        async for answer in events:
            if isinstance(answer, Answer):
                if answer.next_step is None:
                    text = answer.text
                else:
                    text = f"{answer.text}\nnext: {answer.next_step}"
                clients = [one for one in self.clients if one.journaled == journaled]
                told = (one.tell(self.send_s, "response", content=text, chat_id=one.chat_id) for one in clients)
                outbox = self.inbox.outbox
                is_sent = any(await asyncio.gather(*told))
                await (outbox.delivered if is_sent else outbox.give_back)(answer.outbound_id)
