"""What gateway clients say and hear: turns, events they subscribed to, pushes, questions. It knows no socket."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import defaultdict, deque
from collections.abc import Coroutine
from typing import Any, Final, Self, assert_never

from microclaw.agent.inbox import AcceptedMessage, Inbox
from microclaw.agent.outgoing import outgoing, surviving
from microclaw.api import gateway_messages as messages
from microclaw.api.gateway_client import Client
from microclaw.api.gateway_messages import Approve, BadMessage, ClientMessage, Message, Ping, Subscribe, Unknown
from microclaw.auth.approvals import Approvals, Pending, Settled
from microclaw.errors import MicroclawError, PermissionRefused, UnknownName
from microclaw.events import Answer, Delta, Inbound, ToolRun, TurnEvent

_log = logging.getLogger(__name__)

CHANNEL: Final = "ws"
MAX_PARKED: Final = 1000  # answers for clients that are away; what is beyond stays in the outbox for the next run
MAX_CLAIMED: Final = 4096
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+")


def conversation_id(token_id: str, chat_id: str) -> str:
    """The conversation's id in the journal, different for every pair of token and chat id; no token is "".

    Without a token `ws_client1` becomes `client1`, so that its file is MimiClaw's `ws_client1.jsonl`. An "@" is in no
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


class Room:
    """Inside `async with`, what the outbox holds for this channel goes to whoever has its chat id."""

    def __init__(self, inbox: Inbox, approvals: Approvals) -> None:
        self._inbox = inbox
        self._approvals = approvals
        self._clients: defaultdict[str, list[Client]] = defaultdict(list)
        self._parked: deque[tuple[str, int, str]] = deque(maxlen=MAX_PARKED)
        self._claimed: dict[int, None] = {}
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._stop_listening = self._approvals.listen(self._hear)
        self._start(self._deliver(), "gateway: deliver")
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop_listening()
        for task in tuple(self._running):
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    # Who is here

    def enter(self, client: Client) -> None:
        """Put the client into the conversation of its chat id; what waits for it there is sent."""
        self.leave(client)
        client.journaled = conversation_id(client.caller.source, client.chat_id)
        self._clients[client.journaled].append(client)
        for parked in [parked for parked in self._parked if parked[0] == client.journaled]:
            self._parked.remove(parked)
            self._start(self._hand_over(*parked), f"gateway: deliver {parked[1]}")

    def leave(self, client: Client) -> None:
        here = self._clients.get(client.journaled, [])
        if client in here:
            here.remove(client)
        if not here:
            self._clients.pop(client.journaled, None)

    # What they say

    async def take(self, client: Client, message: ClientMessage) -> None:
        """Raises BadMessage."""
        match message:
            case Message():
                await self._begin_turn(client, message)
            case Ping(ts):
                client.send(messages.pong(ts))
            case Subscribe(events):
                client.events = events
                self._show_pending(client)
            case Approve():
                self._decide(client, message)
            case Unknown():
                pass
            case _:
                assert_never(message)

    async def _begin_turn(self, client: Client, message: Message) -> None:
        if message.chat_id is not None and message.chat_id != client.chat_id:
            client.chat_id = message.chat_id
            self.enter(client)
        inbound = Inbound(CHANNEL, client.journaled, message.content, principal=client.caller.principal)
        try:
            accepted = await self._inbox.accept(inbound)
        except MicroclawError as exc:
            raise BadMessage(exc.code, exc.message) from exc
        self._start(self._follow(client, client.journaled, accepted), f"gateway: turn of {client.chat_id}")

    def _decide(self, client: Client, decision: Approve) -> None:
        pending = next((p for p in self._approvals.pending() if p.approval_id == decision.approval_id), None)
        if pending is not None and (pending.channel, pending.chat_id) != (CHANNEL, client.journaled):
            pending = None  # another conversation's: not this client's to know of
        try:
            if pending is None:
                raise UnknownName("nothing waits under this approval_id: it was decided already, or its time is over")
            self._approvals.decide(decision.approval_id, approved=decision.approved, by=client.caller.principal)
        except (UnknownName, PermissionRefused) as exc:
            raise BadMessage(exc.code, exc.message) from exc

    # What they hear

    async def _follow(self, client: Client, journaled: str, accepted: AcceptedMessage) -> None:
        """The turn's events to who asked, its answer to whoever has the chat id by then."""
        try:
            async for event in accepted.events:
                if isinstance(event, Answer):
                    await self._answer(client, journaled, event)
                elif client.is_open:
                    _show(client, event)
        except Exception:
            _log.exception("gateway: an answer was not delivered")

    async def _answer(self, client: Client, journaled: str, answer: Answer) -> None:
        if not self._claim(answer.outbound_id):
            return
        text = _text(answer)
        if await client.deliver(messages.response(text, visible(journaled))):
            await self._delivered(answer.outbound_id)
        elif answer.outbound_id is not None:
            await self._hand_over(journaled, answer.outbound_id, text)

    async def _deliver(self) -> None:
        async for outbound in outgoing(self._inbox.outbox, CHANNEL):
            if self._claim(outbound.outbound_id):
                await self._hand_over(outbound.chat_id, outbound.outbound_id, _text(outbound.answer))

    async def _hand_over(self, journaled: str, outbound_id: int, text: str) -> None:
        """Send it to everybody with this chat id; with nobody there it waits for somebody."""
        clients = tuple(self._clients.get(journaled, ()))
        if any(await asyncio.gather(*(c.deliver(messages.response(text, c.chat_id)) for c in clients))):
            await self._delivered(outbound_id)
            return
        if any(parked[1] == outbound_id for parked in self._parked):
            return
        if len(self._parked) == MAX_PARKED:
            _log.warning("gateway: %d answers wait for clients; the oldest waits for the next start", MAX_PARKED)
        self._parked.append((journaled, outbound_id, text))

    def _claim(self, outbound_id: int | None) -> bool:
        """Whether nobody else here delivers it: messages that joined one turn have one answer."""
        if outbound_id is None:
            return True
        if outbound_id in self._claimed:
            return False
        self._claimed[outbound_id] = None
        if len(self._claimed) > MAX_CLAIMED:
            del self._claimed[next(iter(self._claimed))]
        return True

    async def _delivered(self, outbound_id: int | None) -> None:
        if outbound_id is None:
            return
        try:
            await self._inbox.outbox.delivered(outbound_id)
        except MicroclawError as exc:
            _log.warning("gateway: a delivery could not be noted, it may come twice: %s", exc.message)

    def _hear(self, news: Pending | Settled) -> None:
        pending = news if isinstance(news, Pending) else news.pending
        if pending.channel != CHANNEL:
            return
        for client in self._clients.get(pending.chat_id, ()):
            if "approval" in client.events:
                client.send(
                    _question(pending)
                    if isinstance(news, Pending)
                    else messages.approval_settled(pending.approval_id, news.outcome)
                )

    def _show_pending(self, client: Client) -> None:
        if "approval" in client.events:
            for pending in self._approvals.pending():
                if (pending.channel, pending.chat_id) == (CHANNEL, client.journaled):
                    client.send(_question(pending))

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._tasks.create_task(surviving(work, name), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def _show(client: Client, event: TurnEvent) -> None:
    match event:
        case Delta(text) if "delta" in client.events:
            client.send(messages.delta(text))
        case ToolRun(name, state) if "tool" in client.events:
            client.send(messages.tool(name, state))


def _question(pending: Pending) -> str:
    return messages.approval(pending.approval_id, pending.action, pending.detail, pending.expires_s)


def _text(answer: Answer) -> str:
    return answer.text if answer.next_step is None else f"{answer.text}\nnext: {answer.next_step}"
