"""The gateway's clients and chats: turns, subscribed events, pushed answers, approvals. It opens no socket."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, Final, Self, assert_never

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import AcceptedMessage
from microclaw.api.caller import Caller
from microclaw.api.gateway_messages import Approve, ClientMessage, Message, Ping, Subscribe, line
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval
from microclaw.channels.delivery import ChannelTasks, Deliveries
from microclaw.errors import UnknownName
from microclaw.events import Answer, Delta, Inbound, ToolRun

_log = logging.getLogger(__name__)

CHANNEL: Final = "ws"
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+")


def conversation_id(token_id: str, chat_id: str) -> str:
    """The conversation's id in the journal, different for every pair of token and chat id; no token is "".

    Without a token `ws_client1` becomes `client1`, so that its name is MimiClaw's `ws_client1`. An "@" is in no
    such name: the other ids without a token begin with it, and before it stands the token of those of a token.
    """
    if token_id:
        return f"{token_id}@{chat_id}"
    bare = chat_id.removeprefix("ws_")
    return bare if bare != chat_id and _PLAIN.fullmatch(bare) else f"@{chat_id}"


def visible(journaled: str) -> str:
    """The chat id as its client knows it."""
    _, at, chat_id = journaled.partition("@")
    return chat_id if at else f"ws_{journaled}"


class Client:
    """One client's connection. `chat_id` is the visible one; `journaled` the conversation's."""

    def __init__(self, connection: ServerConnection, chat_id: str, caller: Caller, send_s: float) -> None:
        self.chat_id = chat_id
        self.caller = caller
        self.events: frozenset[str] = frozenset()
        self.is_open = True
        self._connection = connection
        self._send_s = send_s

    @property
    def journaled(self) -> str:
        return conversation_id(self.caller.source, self.chat_id)

    async def send(self, type_: str, **fields: object) -> bool:
        """True if the message was written to the connection; one that takes nothing for too long is cut."""
        if self.is_open:
            try:
                async with asyncio.timeout(self._send_s):
                    await self._connection.send(line(type_, **fields))
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
    """Inside `async with`, the outbox's answers for this channel go to the `clients` with their chat id."""

    def __init__(self, inbox: Inbox, approvals: Approvals) -> None:
        self.clients: set[Client] = set()
        self._inbox = inbox
        self._approvals = approvals
        self._deliveries = Deliveries(inbox.outbox, "gateway")
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
        await self._show_pending(client)

    async def take(self, client: Client, message: ClientMessage) -> None:
        """Raises the MicroclawError that the client is told."""
        match message:
            case Message(content, chat_id):
                if chat_id and chat_id != client.chat_id:
                    client.chat_id = chat_id
                    await self.look(client)
                inbound = Inbound(CHANNEL, client.journaled, content, person_id=client.caller.person_id)
                accepted = await self._inbox.accept(inbound)
                following = self._follow(client, client.journaled, accepted)
                self._tasks.start(following, f"gateway: turn of {client.chat_id}")
            case Ping(ts):
                await client.send("pong", **({} if ts is None else {"ts": ts}))
            case Subscribe(events):
                client.events = events
                await self._show_pending(client)
            case Approve(approval_id, approved):
                if approval_id not in (one.approval_id for one in self._pending(client)):
                    text = "nothing waits under this approval_id: it was decided already, or its time is over"
                    raise UnknownName(text)
                self._approvals.decide(approval_id, approved=approved, by=client.caller.person_id)
            case _:
                assert_never(message)

    async def _follow(self, client: Client, journaled: str, accepted: AcceptedMessage) -> None:
        """Send the turn's events to the client that asked, and the answer to whoever has the chat id by then."""
        try:
            async for event in accepted.events:
                match event:
                    case Answer():
                        await self._answer(client, journaled, event)
                    case Delta(text) if "delta" in client.events:
                        await client.send("delta", content=text)
                    case ToolRun(name, state) if "tool" in client.events:
                        await client.send("tool", name=name, state=state)
        except Exception:
            _log.exception("gateway: an answer was not delivered")

    async def _answer(self, client: Client, journaled: str, answer: Answer) -> None:
        if not self._deliveries.claim(answer.outbound_id):
            return
        if await client.send("response", content=_text(answer), chat_id=visible(journaled)):
            await self._deliveries.done(answer.outbound_id)
        elif answer.outbound_id is not None:
            await self._hand_over(journaled, answer.outbound_id, _text(answer))

    async def _deliver(self) -> None:
        def here() -> tuple[str, ...]:
            return tuple({one.journaled for one in self.clients if one.is_open})

        async for outbound in self._inbox.outbox.outgoing(CHANNEL, chats=here):
            if self._deliveries.claim(outbound.outbound_id):
                handing = self._hand_over(outbound.chat_id, outbound.outbound_id, _text(outbound.answer))
                self._tasks.start(handing, f"gateway: answer {outbound.outbound_id}")

    async def _hand_over(self, journaled: str, outbound_id: int, text: str) -> None:
        """Send it to everybody with this chat id; with nobody there it waits for somebody."""
        clients = [one for one in self.clients if one.journaled == journaled]
        if any(await asyncio.gather(*(one.send("response", content=text, chat_id=one.chat_id) for one in clients))):
            await self._deliveries.done(outbound_id)
            return
        self._deliveries.release(outbound_id)
        await self._inbox.outbox.give_back(outbound_id)

    def _hear(self, news: PendingApproval | ApprovalOutcome) -> None:
        pending = news if isinstance(news, PendingApproval) else news.pending
        told = _question(pending)
        if not isinstance(news, PendingApproval):
            told = {"type_": "approval_settled", "approval_id": pending.approval_id, "outcome": news.outcome}
        for client in self.clients:
            if "approval" in client.events and (pending.channel, pending.chat_id) == (CHANNEL, client.journaled):
                self._tasks.start(client.send(**told), f"gateway: question {pending.approval_id}")

    def _pending(self, client: Client) -> list[PendingApproval]:
        """Another conversation's are not this client's to know of."""
        here = (CHANNEL, client.journaled)
        return [one for one in self._approvals.pending() if (one.channel, one.chat_id) == here]

    async def _show_pending(self, client: Client) -> None:
        for pending in self._pending(client) if "approval" in client.events else ():
            await client.send(**_question(pending))


def _question(pending: PendingApproval) -> dict[str, Any]:
    return {
        "type_": "approval",
        "approval_id": pending.approval_id,
        "content": pending.action,
        "detail": pending.detail,
        "expires_s": pending.expires_s,
    }


def _text(answer: Answer) -> str:
    return answer.text if answer.next_step is None else f"{answer.text}\nnext: {answer.next_step}"
