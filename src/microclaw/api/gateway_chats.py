"""The gateway's messages and chats: what clients say, answers, questions. It opens no socket.

docs/protocols/chat-gateway.md has every field.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Annotated, Any, Final, Self, TypeAlias, assert_never

import msgspec
from msgspec import Meta, Struct
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import AcceptedMessage
from microclaw.api.caller import Caller
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval
from microclaw.channels.delivery import ChannelTasks
from microclaw.errors import MicroclawError, UnknownName
from microclaw.events import Answer, Inbound

CHANNEL: Final = "ws"
MAX_CHAT_ID_BYTES: Final = 31  # the device keeps it in 32 bytes with the final NUL
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+")


class BadMessage(MicroclawError):
    """A client's message cannot be used; `code` goes into the `error` message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Message(Struct, frozen=True):
    content: Annotated[str, Meta(pattern=r"\S")]
    chat_id: str | None = None

    def __post_init__(self) -> None:
        chat_id = self.chat_id or ""
        if not chat_id.isprintable():
            raise ValueError('"chat_id" is a text of printable characters')
        if (size := len(chat_id.encode())) > MAX_CHAT_ID_BYTES:
            raise BadMessage("chat_id_too_long", f'"chat_id" has {size} bytes, at most {MAX_CHAT_ID_BYTES} are allowed')


class Ping(Struct, frozen=True):
    ts: int | float | Annotated[str, Meta(max_length=64)] | None = None


class Subscribe(Struct, frozen=True):
    events: frozenset[str]


class Approve(Struct, frozen=True):
    approval_id: str
    approved: bool


class _Typed(Struct):
    type: str


ClientMessage: TypeAlias = Message | Ping | Subscribe | Approve
_FORMS: Final[dict[str, type[ClientMessage]]] = {
    form.__name__.lower(): form for form in (Message, Ping, Subscribe, Approve)
}


def read_message(text: str) -> ClientMessage | None:
    """None for a type of another version. Raises BadMessage."""
    try:
        form = _FORMS.get(msgspec.json.decode(text, type=_Typed).type)
        return None if form is None else msgspec.json.decode(text, type=form)
    except msgspec.ValidationError as exc:
        raise BadMessage("bad_message", str(exc)) from None
    except (msgspec.DecodeError, RecursionError):
        raise BadMessage("bad_json", "a message is one JSON object") from None


def conversation_id(token_id: str, chat_id: str) -> str:
    """The conversation's id in the journal, different for every pair of token and chat id; no token is "".

    Without a token `ws_client1` becomes `client1`, so that its name is MimiClaw's `ws_client1`. An "@" is in no
    such name: the other ids without a token begin with it, and before it stands the token of those of a token.
    """
    if token_id:
        return f"{token_id}@{chat_id}"
    bare = chat_id.removeprefix("ws_")
    return bare if bare != chat_id and _PLAIN.fullmatch(bare) else f"@{chat_id}"


class Client:
    """One client's connection. `chat_id` is the visible one; `journaled` the conversation's."""

    def __init__(self, connection: ServerConnection, chat_id: str, caller: Caller, send_s: float) -> None:
        self.chat_id = chat_id
        self.caller = caller
        self.is_open, self.hears_approvals = True, False
        self._connection = connection
        self._send_s = send_s

    @property
    def journaled(self) -> str:
        return conversation_id(self.caller.source, self.chat_id)

    async def send(self, type_: str, **fields: object) -> bool:
        """True if the message was written to the connection; one that takes nothing for too long is cut. A lone
        surrogate, which JSON can carry and UTF-8 cannot, becomes "?"."""
        text = json.dumps({"type": type_, **fields}, ensure_ascii=False, separators=(",", ":"))
        if self.is_open:
            try:
                async with asyncio.timeout(self._send_s):
                    await self._connection.send(text.encode(errors="replace").decode())
            except TimeoutError:
                self.is_open = False
                self._connection.transport.abort()
            except ConnectionClosed:
                self.is_open = False
        return self.is_open

    async def close(self, code: int, reason: str) -> None:
        """Nothing more is written: an answer goes to the next client of the conversation."""
        self.is_open = False
        await self._connection.close(code, reason)


class GatewayChats:
    """Inside `async with`, answers and questions for this channel go to the `clients` with their chat id."""

    def __init__(self, inbox: Inbox, approvals: Approvals) -> None:
        self.clients: set[Client] = set()
        self._inbox = inbox
        self._approvals = approvals
        self._tasks = ChannelTasks()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._stop_listening = self._approvals.listen(self._hear)
        self._tasks.start(self._deliver(), "gateway: deliver")
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop_listening()
        await self._tasks.__aexit__(*error)

    async def look(self, client: Client) -> None:
        """Send the client the answers and questions that wait in its conversation."""
        self._inbox.outbox.look_again(CHANNEL)
        for pending in self._pending(client) if client.hears_approvals else ():
            await client.send(**_question(pending))

    async def take(self, client: Client, message: ClientMessage) -> None:
        """Raises the MicroclawError that the client is told."""
        match message:
            case Message(content, chat_id):
                if chat_id and chat_id != client.chat_id:
                    client.chat_id = chat_id
                    await self.look(client)
                inbound = Inbound(CHANNEL, client.journaled, content, person_id=client.caller.person_id)
                accepted = await self._inbox.accept(inbound)
                self._tasks.start(self._answer(client.journaled, accepted), f"gateway: turn of {client.chat_id}")
            case Ping(ts):
                await client.send("pong", **({} if ts is None else {"ts": ts}))
            case Subscribe(events):
                client.hears_approvals = "approval" in events
                await self.look(client)
            case Approve(approval_id, approved):
                if approval_id not in (one.approval_id for one in self._pending(client)):
                    text = "nothing waits under this approval_id: it was decided already, or its time is over"
                    raise UnknownName(text)
                self._approvals.decide(approval_id, approved=approved, by=client.caller.person_id)
            case _:
                assert_never(message)

    async def _answer(self, journaled: str, accepted: AcceptedMessage) -> None:
        if (answer := await accepted.answer()) is not None:
            await self._hand_over(journaled, answer)

    async def _deliver(self) -> None:
        def here() -> tuple[str, ...]:
            return tuple({one.journaled for one in self.clients if one.is_open})

        async for outbound in self._inbox.outbox.outgoing(CHANNEL, chats=here):
            handing = self._hand_over(outbound.chat_id, outbound.answer)
            self._tasks.start(handing, f"gateway: answer {outbound.outbound_id}")

    async def _hand_over(self, journaled: str, answer: Answer) -> None:
        """Send it to everybody with this chat id; with nobody there it waits for somebody."""
        text = answer.text if answer.next_step is None else f"{answer.text}\nnext: {answer.next_step}"
        clients = [one for one in self.clients if one.journaled == journaled]
        sent = await asyncio.gather(*(one.send("response", content=text, chat_id=one.chat_id) for one in clients))
        if any(sent):
            await self._inbox.outbox.delivered(answer.outbound_id)
        else:
            await self._inbox.outbox.give_back(answer.outbound_id)

    def _hear(self, news: PendingApproval | ApprovalOutcome) -> None:
        if isinstance(news, PendingApproval):
            pending, told = news, _question(news)
        else:
            pending = news.pending
            told = {"type_": "approval_settled", "approval_id": pending.approval_id, "outcome": news.outcome}
        for client in self.clients:
            if client.hears_approvals and (pending.channel, pending.chat_id) == (CHANNEL, client.journaled):
                self._tasks.start(client.send(**told), f"gateway: question {pending.approval_id}")

    def _pending(self, client: Client) -> list[PendingApproval]:
        """Another conversation's are not this client's to know of."""
        here = (CHANNEL, client.journaled)
        return [one for one in self._approvals.pending() if (one.channel, one.chat_id) == here]


def _question(pending: PendingApproval) -> dict[str, Any]:
    told = {"type_": "approval", "approval_id": pending.approval_id, "content": pending.action}
    return {**told, "detail": pending.detail, "expires_s": pending.expires_s}
