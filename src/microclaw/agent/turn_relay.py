"""Hands messages to the host of a cluster that answers them, and brings what happens in their turns back.

A host without the role `agent` answers nothing itself. A host with it hands on what belongs to a chat whose turn runs
or waits at another: so it is in order, joins that turn, or answers its question. What a turn's host cannot tell any
more, as it is gone, is looked for in the store: another one takes the turn up.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

import msgspec

from microclaw.agent.accepted_message import AcceptedMessage, no_events
from microclaw.agent.inbox import STOPPING, TAKEN, Inbox
from microclaw.agent.running_turn import ChatKey
from microclaw.agent.turn_journal import answer_from
from microclaw.cluster.host_requests import HostGone, HostRequests
from microclaw.errors import MicroclawError, StoreUnreachable
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Delta, Inbound, Step, ToolRun, TurnEvent
from microclaw.store.inbox import InboxTable

ACCEPT_S: Final = 15.0
STOP_S: Final = 5.0
LOOK_S: Final = 2.0
_EVENTS: Final[dict[str, type[TurnEvent]]] = {
    kind.__name__: kind for kind in (Step, Delta, ToolRun, ApprovalAsked, ApprovalSettled, Answer)
}
_WAIT: Final = "say it again when one of them is back: microclaw cluster status"
_UNKNOWN: Final = "look whether it is answered before you say it again: microclaw session list"


class TurnRelay:
    """An `Inbox.relay`. `agents` are the live hosts with the role, this one too; `is_agent`: this one has it;
    `refusal` says that no host has it."""

    def __init__(
        self,
        requests: HostRequests,
        table: InboxTable,
        inbox: Inbox,
        agents: Callable[[], Sequence[str]],
        *,
        is_agent: bool,
        refusal: Callable[[], MicroclawError],
    ) -> None:
        self._requests = requests
        self._table = table
        self._inbox = inbox
        self._agents = agents
        self._is_agent = is_agent
        self._refusal = refusal
        self._open: Counter[ChatKey] = Counter()  # turns elsewhere that somebody here listens to
        self._stops: set[asyncio.Task[bool]] = set()
        self._answered = asyncio.Event()
        table.listen_to_answers(self._answered.set)
        requests.handlers["stop"] = self._stop_here
        if is_agent:
            requests.handlers["turn"] = self._serve

    async def accept(self, inbound: Inbound) -> AcceptedMessage | None:
        """Raises what its host raises; StoreUnreachable when nobody can say whether it was taken."""
        away: set[str] = set()
        while (host := await self._place(inbound, away)) is not None:
            asked = self._requests.ask(host, "turn", _encoded(inbound))
            try:
                async with asyncio.timeout(ACCEPT_S):
                    taken = json.loads(await anext(asked))
            except HostGone as exc:
                if exc.unsent:
                    away.add(host)
                    continue
                raise _unknown(host) from exc
            except TimeoutError as exc:
                await asked.aclose()
                raise _unknown(host) from exc
            number, known = int(taken["message_id"]), bool(taken["duplicate"])
            if known:
                await asked.aclose()
                return AcceptedMessage(number, True, no_events())
            return AcceptedMessage(number, False, self._events(asked, host, number, inbound))
        return None

    async def stop(self, channel: str, chat_id: str, message_id: int | None = None) -> bool:
        body = json.dumps([channel, chat_id, message_id]).encode()

        async def ask(host: str) -> bool:
            try:
                async with asyncio.timeout(STOP_S), aclosing(self._requests.ask(host, "stop", body)) as answers:
                    return await anext(answers, b"0") == b"1"
            except (TimeoutError, HostGone):
                return False

        others = [host for host in self._agents() if host != self._requests.host_id]
        return any(await asyncio.gather(*(ask(host) for host in others)))

    def stop_later(self, channel: str, chat_id: str, message_id: int | None = None) -> bool:
        if not self._open[channel, chat_id]:
            return False
        task = asyncio.create_task(self.stop(channel, chat_id, message_id), name="cluster: stop a turn")
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)
        return True

    async def _place(self, inbound: Inbound, away: set[str]) -> str | None:
        """The host for the message: that of the chat's open turn, else one of those with the role."""
        own = self._requests.host_id
        agents = [host for host in self._agents() if host not in away]
        busy = await self._table.host_of_chat(inbound.channel, inbound.chat_id)
        if busy in agents:
            return None if busy == own else busy
        if self._is_agent:
            return None
        if not agents:
            if away or not self._requests.connected:
                raise _nobody_reached(away, self._requests.connected)
            raise self._refusal()
        return max(agents, key=lambda host: _weight(host, inbound))

    async def _events(
        self, asked: AsyncGenerator[bytes, None], host: str, number: int, inbound: Inbound
    ) -> AsyncGenerator[TurnEvent, None]:
        chat, outbox = (inbound.channel, inbound.chat_id), self._inbox.outbox
        self._open[chat] += 1
        ended = False
        try:
            async with aclosing(asked):
                try:
                    async for data in asked:
                        event = _event(data)
                        if isinstance(event, Answer) and number and event in (TAKEN, STOPPING):
                            break  # another host answers it
                        if isinstance(event, Answer):
                            ended = True
                            if event.outbound_id is not None:
                                outbox.heard(inbound.channel, event.outbound_id, host)
                            yield event
                            return
                        yield event
                except HostGone:
                    pass
            ended = True
            yield await self._stored_answer(number)
        finally:
            self._open[chat] -= 1
            if not ended and number:
                await outbox.not_heard(number, host)

    async def _stored_answer(self, number: int) -> Answer:
        """The answer of the host that took the message up."""
        while True:
            self._answered.clear()
            if (found := await self._table.answer_of(number)) is not None:
                outbound_id, body = found
                return replace(answer_from(body), outbound_id=outbound_id)
            if not self._agents():
                error = self._refusal()
                text = f"its host is gone; the message is kept, and answered when there is another. {error.message}"
                return Answer(text, error_code=error.code, next_step=error.next_step)
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._answered.wait()
            except TimeoutError:
                continue

    async def _serve(self, body: bytes) -> AsyncGenerator[bytes, None]:
        inbound = msgspec.convert(json.loads(body), Inbound)
        accepted = await self._inbox.accept_here(inbound)
        yield json.dumps({"message_id": accepted.message_id, "duplicate": accepted.duplicate}).encode()
        async with aclosing(accepted.events) as events:
            async for event in events:
                yield _encoded(event, type(event).__name__)

    async def _stop_here(self, body: bytes) -> AsyncGenerator[bytes, None]:
        channel, chat_id, message_id = json.loads(body)
        yield b"1" if self._inbox.cancel_here(channel, chat_id, message_id=message_id) else b"0"


def _encoded(value: Any, kind: str | None = None) -> bytes:
    """JSON, as it takes text that is not valid Unicode."""
    fields = msgspec.to_builtins(value)
    return json.dumps(fields if kind is None else [kind, fields]).encode()


def _event(data: bytes) -> TurnEvent:
    kind, fields = json.loads(data)
    event: TurnEvent = msgspec.convert(fields, _EVENTS[kind])
    return event


def _weight(host: str, inbound: Inbound) -> bytes:
    """A chat stays with its host while the same hosts live."""
    return hashlib.sha256(f"{host}\0{inbound.channel}\0{inbound.chat_id}".encode(errors="replace")).digest()


def _nobody_reached(hosts: Iterable[str], connected: bool) -> StoreUnreachable:
    if not connected:
        return StoreUnreachable("nothing was done: NATS cannot be reached, and other hosts answer", next_step=_WAIT)
    text = f"nothing was done: the hosts that answer are not there any more: {', '.join(sorted(hosts))}"
    return StoreUnreachable(text, next_step=_WAIT)


def _unknown(host: str) -> StoreUnreachable:
    return StoreUnreachable(f"the host {host} did not say whether it took the message", next_step=_UNKNOWN)
