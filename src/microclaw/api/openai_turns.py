"""The turn behind a completion: over the client's own messages, or of a stored conversation. It writes no HTTP.

Both give the turn's events with None now and then when nothing happened, and a ClientReply at the end.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from microclaw.agent.accepted_message import AcceptedMessage
from microclaw.agent.client_turn import ClientReply, ClientTurn
from microclaw.agent.inbox import Inbox
from microclaw.api.jobs import Feed, paced
from microclaw.events import Answer, Inbound, TurnEvent
from microclaw.wire.host_api import Failure, Keepalive, Result

_NO_ANSWER = Answer("the turn ended without an answer", error_code="failed", next_step="see the host's log")


class CompletionTurn(Protocol):
    """A running turn and its one reader."""

    def events(self) -> AsyncGenerator[TurnEvent | None]:
        """What happens, the answer last. Closing it early changes nothing for the turn."""
        ...

    def reply(self, answer: Answer) -> ClientReply:
        """The whole reply, once `events` gave its answer."""
        ...

    def shown(self, text: str) -> None:
        """The client got `text` as the answer."""
        ...

    def told(self, text: str) -> None:
        """The client got `text` instead of the answer, as the turn waits for an approval; it goes on waiting."""
        ...

    def stop(self) -> None:
        """The client has left: nothing more is started."""
        ...


class AnsweredTurn:
    """What is answered without a turn."""

    def __init__(self, answer: Answer, *, has_form: bool) -> None:
        self._answer = answer
        self._has_form = has_form

    async def events(self) -> AsyncGenerator[TurnEvent | None]:
        yield self._answer

    def reply(self, answer: Answer) -> ClientReply:
        fault = "the model was not asked" if self._has_form else None
        return ClientReply(answer, answer.text, json_fault=fault)

    def shown(self, text: str) -> None:
        """It drew on nothing."""

    def told(self, text: str) -> None:
        """It waits for nothing."""

    def stop(self) -> None:
        """Nothing runs."""


class StatelessTurn:
    """A job of the host that runs a ClientTurn."""

    def __init__(self, turn: ClientTurn, feed: Feed, keepalive_s: float) -> None:
        self._turn = turn
        self._feed = feed
        self._keepalive_s = keepalive_s

    async def events(self) -> AsyncGenerator[TurnEvent | None]:
        async for event in self._feed.read(self._keepalive_s):
            match event:
                case Keepalive():
                    yield None
                case Failure():
                    yield Answer(event.message, error_code=event.code, next_step=event.next_step)
                case Result():
                    yield _NO_ANSWER
                case _:
                    yield event

    def reply(self, answer: Answer) -> ClientReply:
        return self._turn.reply or ClientReply(answer, answer.text)

    def shown(self, text: str) -> None:
        self._turn.shown(text)

    def told(self, text: str) -> None:
        self._turn.told(text)

    def stop(self) -> None:
        self._turn.stop()


class StoredTurn:
    """A message of a conversation that the host keeps. An answer that nobody waited for is in the conversation."""

    def __init__(self, inbox: Inbox, inbound: Inbound, accepted: AcceptedMessage, keepalive_s: float) -> None:
        self._inbox = inbox
        self._inbound = inbound
        self._accepted = accepted
        self._keepalive_s = keepalive_s

    async def events(self) -> AsyncGenerator[TurnEvent | None]:
        async with aclosing(paced(self._accepted.events, self._keepalive_s)) as coming:
            async for event in coming:
                if isinstance(event, Answer) and event.outbound_id is not None:
                    await self._inbox.outbox.delivered(event.outbound_id)
                yield event

    def reply(self, answer: Answer) -> ClientReply:
        return ClientReply(answer, answer.text)

    def shown(self, text: str) -> None:
        """The conversation has it."""

    def told(self, text: str) -> None:
        """The conversation itself will have the answer."""

    def stop(self) -> None:
        self._inbox.cancel(self._inbound.channel, self._inbound.chat_id, message_id=self._accepted.message_id)
