"""The gateway's clients and chats: turns, subscribed events, pushed answers, approvals. It opens no socket."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import defaultdict
from typing import Any, Final, Self, assert_never

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from microclaw.agent.accepted_message import AcceptedMessage
from microclaw.agent.inbox import Inbox
from microclaw.api.caller import Caller
from microclaw.api.gateway_messages import Approve, ClientMessage, Message, Ping, Subscribe, line
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval
from microclaw.channels.delivery import ChannelTasks, Deliveries
from microclaw.errors import UnknownName
from microclaw.events import Answer, Delta, Inbound, ToolRun, TurnEvent

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
        self.journaled = ""
        self.events: frozenset[str] = frozenset()
        self.is_open = True
        self._connection = connection
        self._send_s = send_s

    async def send(self, type_: str, **fields: object) -> bool:
        """Whether the message was written to the connection; one that takes nothing for too long is cut."""
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
    """Inside `async with`, the outbox's answers for this channel go to the clients with their chat id."""

    def __init__(self, inbox: Inbox, approvals: Approvals) -> None:
        self._inbox = inbox
        self._approvals = approvals
        self._clients: defaultdict[str, list[Client]] = defaultdict(list)
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

    async def enter(self, client: Client) -> None:
        """Put the client into the conversation of its chat id; send it the answers and questions that wait there."""
        self.leave(client)
        client.journaled = conversation_id(client.caller.source, client.chat_id)
        self._clients[client.journaled].append(client)
        self._inbox.outbox.look_again(CHANNEL)
        await self._show_pending(client)

    def leave(self, client: Client) -> None:
        here = self._clients.get(client.journaled, [])
        if client in here:
            here.remove(client)
        if not here:
            self._clients.pop(client.journaled, None)

    async def take(self, client: Client, message: ClientMessage) -> None:
        """Raises the MicroclawError that the client is told."""
        match message:
            case Message():
                await self._begin_turn(client, message)
            case Ping(ts):
                await client.send("pong", **({} if ts is None else {"ts": ts}))
            case Subscribe(events):
                client.events = events
                await self._show_pending(client)
            case Approve():
                self._decide(client, message)
            case _:
                assert_never(message)

    async def _begin_turn(self, client: Client, message: Message) -> None:
        if message.chat_id is not None and message.chat_id != client.chat_id:
            client.chat_id = message.chat_id
            await self.enter(client)
        inbound = Inbound(CHANNEL, client.journaled, message.content, person_id=client.caller.person_id)
        accepted = await self._inbox.accept(inbound)
        self._tasks.start(self._follow(client, client.journaled, accepted), f"gateway: turn of {client.chat_id}")

    def _decide(self, client: Client, decision: Approve) -> None:
        pending = next((p for p in self._approvals.pending() if p.approval_id == decision.approval_id), None)
        if pending is not None and (pending.channel, pending.chat_id) != (CHANNEL, client.journaled):
            pending = None  # another conversation's: not this client's to know of
        if pending is None:
            raise UnknownName("nothing waits under this approval_id: it was decided already, or its time is over")
        self._approvals.decide(decision.approval_id, approved=decision.approved, by=client.caller.person_id)

    async def _follow(self, client: Client, journaled: str, accepted: AcceptedMessage) -> None:
        """Send the turn's events to the client that asked, and the answer to whoever has the chat id by then."""
        try:
            async for event in accepted.events:
                if isinstance(event, Answer):
                    await self._answer(client, journaled, event)
                elif client.is_open:
                    await _show(client, event)
        except Exception:
            _log.exception("gateway: an answer was not delivered")

    async def _answer(self, client: Client, journaled: str, answer: Answer) -> None:
        if not self._deliveries.claim(answer.outbound_id):
            return
        text = _text(answer)
        if await client.send("response", content=text, chat_id=visible(journaled)):
            await self._deliveries.done(answer.outbound_id)
        elif answer.outbound_id is not None:
            await self._hand_over(journaled, answer.outbound_id, text)

    async def _deliver(self) -> None:
        async for outbound in self._inbox.outbox.outgoing(CHANNEL, chats=self._chats_here):
            if self._deliveries.claim(outbound.outbound_id):
                handing = self._hand_over(outbound.chat_id, outbound.outbound_id, _text(outbound.answer))
                self._tasks.start(handing, f"gateway: answer {outbound.outbound_id}")

    def _chats_here(self) -> tuple[str, ...]:
        return tuple(journaled for journaled, clients in self._clients.items() if any(c.is_open for c in clients))

    async def _hand_over(self, journaled: str, outbound_id: int, text: str) -> None:
        """Send it to everybody with this chat id; with nobody there it waits for somebody."""
        clients = tuple(self._clients.get(journaled, ()))
        if any(await asyncio.gather(*(one.send("response", content=text, chat_id=one.chat_id) for one in clients))):
            await self._deliveries.done(outbound_id)
            return
        self._deliveries.release(outbound_id)
        await self._inbox.outbox.give_back(outbound_id)

    def _hear(self, news: PendingApproval | ApprovalOutcome) -> None:
        pending = news if isinstance(news, PendingApproval) else news.pending
        if pending.channel != CHANNEL:
            return
        if isinstance(news, PendingApproval):
            what = _question(pending)
        else:
            what = {"type_": "approval_settled", "approval_id": pending.approval_id, "outcome": news.outcome}
        for client in self._clients.get(pending.chat_id, ()):
            if "approval" in client.events:
                self._tasks.start(_told(client, what), f"gateway: question {pending.approval_id}")

    async def _show_pending(self, client: Client) -> None:
        for pending in self._approvals.pending() if "approval" in client.events else ():
            if (pending.channel, pending.chat_id) == (CHANNEL, client.journaled):
                await client.send(**_question(pending))


async def _told(client: Client, what: dict[str, Any]) -> None:
    await client.send(**what)


async def _show(client: Client, event: TurnEvent) -> None:
    match event:
        case Delta(text) if "delta" in client.events:
            await client.send("delta", content=text)
        case ToolRun(name, state) if "tool" in client.events:
            await client.send("tool", name=name, state=state)


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
