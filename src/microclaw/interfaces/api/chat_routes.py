"""/v1/chat: sends a message and streams the turn's events as JSON lines; undelivered answers; cancelling a turn.

The message is in the agent's inbox, so the answer is kept for a client that disconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct
from starlette.responses import Response

from microclaw.agent.knowledge.operations import SessionLine
from microclaw.agent.turn.inbox import Inbox
from microclaw.agent.turn.outbox import AcceptedMessage, Outbox
from microclaw.devices.registry.registry import Registry
from microclaw.events import Answer, Inbound, TurnEvent
from microclaw.host.operations.forms import HttpAnswer
from microclaw.host.operations.operation import Access
from microclaw.host.store.sessions import SessionMessage, Sessions, session_name
from microclaw.interfaces.api.credential_end import ENDED_KEY
from microclaw.interfaces.api.custom_routes import RouteRequest, custom_route
from microclaw.interfaces.api.jobs import MEDIA_TYPE, stream
from microclaw.wire.host_api import AFTER_HEADER, TURN_HEADER, answer_object, encode_event, event_object

MAX_CHATS = 20
MAX_MESSAGES = 100
MAX_SEEN = 64
_MAX_TEXT_CHARS = 80

ChatId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]

MessageKey: TypeAlias = Annotated[str, Meta(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9-]+$")]


class ChatService(Struct, frozen=True):
    inbox: Inbox
    sessions: Sessions
    devices: Registry
    keepalive_s: float


class ChatFacts(Struct, frozen=True, kw_only=True):
    chat_id: str
    changed_s: int
    text: str


class Chats(Struct, frozen=True, kw_only=True):
    chats: list[ChatFacts]


class ChatLine(SessionLine, frozen=True, kw_only=True):
    """`turn` is the number of its turn; None in lines of other programs, which are in their place.

    `answer` is the answer as the end of its stream has it, with the steps that led to it. Of an old one only the text
    is kept; None in lines of the person.
    """

    turn: int | None
    answer: dict[str, Any] | None


class WaitingMessage(Struct, frozen=True, kw_only=True):
    """`steps` are those so far."""

    turn: int
    text: str
    steps: list[dict[str, Any]]


class ChatMessages(Struct, frozen=True, kw_only=True):
    """The newest messages, and those that wait for their turn."""

    messages: list[ChatLine]
    waiting: list[WaitingMessage]


class CancelledTurns(Struct, frozen=True, kw_only=True):
    cancelled: int


class UndeliveredMessage(Struct, frozen=True, kw_only=True):
    kind: str
    answer: dict[str, Any]


class UndeliveredMessages(Struct, frozen=True, kw_only=True):
    messages: list[UndeliveredMessage]


class DeliveredMessages(Struct, frozen=True, kw_only=True):
    delivered: list[int]


@custom_route("chat.say", http="POST /v1/chat", access=Access.ASK, answer=HttpAnswer(media=MEDIA_TYPE))
async def say(
    chats: ChatService,
    asked: RouteRequest,
    *,
    text: Annotated[str, Meta(min_length=1)],
    chat_id: ChatId = "terminal",
    device: str | None = None,
    seen: Annotated[tuple[str, ...], Meta(max_length=MAX_SEEN)] = (),
    answers: int | None = None,
    key: MessageKey | None = None,
) -> Response:
    """Send one message; the turn's events are JSON lines. A header has the turn's number (wire/host_api.py).

    `seen` are the questions that stand before the sender: a bare yes counts for the only one that waits in this chat.
    `answers` is the turn that asked: only the first answer counts. A message with a `key` that came before is not taken
    again: the header names its turn, and there are no events.
    """
    if device is not None:
        # Raises UnknownName before the message is accepted.
        chats.devices.get(device)
    channel, own_id = asked.by.chat(chat_id)
    message = Inbound(
        channel,
        own_id,
        text,
        asked.by.person_id,
        device,
        key=key and f"{own_id} {key}",
        seen=seen,
        answers=answers,
    )
    accepted = await chats.inbox.accept(message)

    def leave() -> None:
        end_event = asked.request.scope.get(ENDED_KEY)
        # After the end of the token its client may not read the answer any more.
        if end_event is not None and end_event.is_set():
            chats.inbox.cancel(channel, own_id, message_id=accepted.message_id)

    events = _delivered(accepted, chats.inbox.outbox)
    answer = stream(events, encode_event, chats.keepalive_s, left=leave)
    if accepted.after is None:
        answer.headers[TURN_HEADER] = str(accepted.message_id)
    else:
        answer.headers[AFTER_HEADER] = str(accepted.after)
    return answer


@custom_route("chat.list", http="GET /v1/chat", access=Access.ASK)
async def list_chats(chats: ChatService, asked: RouteRequest) -> Chats:
    """List the caller's newest conversations."""
    prefix = session_name(*asked.by.chat(""))
    sessions = [session for session in await chats.sessions.list() if session.name.startswith(prefix)]
    facts = []
    for session in sessions[:MAX_CHATS]:
        text = await _last_user_text(chats.sessions, session.name)
        chat_id = session.name.removeprefix(prefix)
        facts.append(ChatFacts(chat_id=chat_id, changed_s=int(session.changed_s), text=text))
    return Chats(chats=facts)


async def _last_user_text(sessions: Sessions, name: str) -> str:
    """Return the beginning of the user's last message, if it is among the newest four lines."""
    texts = [line.content for line in await sessions.show(name, 4) if line.role == "user"]
    if not texts:
        return ""
    return " ".join(texts[-1].split())[:_MAX_TEXT_CHARS]


@custom_route("chat.show", http="GET /v1/chat/{chat_id}/messages", access=Access.ASK)
async def show_chat(chats: ChatService, asked: RouteRequest, chat_id: ChatId) -> ChatMessages:
    """Show a conversation's newest messages."""
    address = asked.by.chat(chat_id)
    running = chats.inbox.waiting(*address)
    messages = await chats.sessions.load(*address, MAX_MESSAGES)
    answered = {message.turn for message in messages if message.role == "assistant"}
    waiting = []
    for turn in running:
        # It may have been answered since.
        if turn.number not in answered:
            steps = list(map(event_object, turn.steps))
            waiting.append(WaitingMessage(turn=turn.number, text=turn.message.inbound.text, steps=steps))
    since = min((message.turn for message in messages if message.turn is not None), default=0)
    answers = await chats.inbox.outbox.answers(*address, since)
    return ChatMessages(messages=[_chat_line(message, answers) for message in messages], waiting=waiting)


def _chat_line(message: SessionMessage, answers: Mapping[int | None, Answer]) -> ChatLine:
    shown = None
    if message.role == "assistant":
        answer = Answer(message.content)
        if message.turn is not None:
            answer = answers.get(message.turn, answer)
        shown = {**answer_object(answer), "steps": list(map(event_object, answer.steps))}
    return ChatLine(
        role=message.role,
        content=message.content,
        ts=message.ts,
        person=message.person,
        turn=message.turn,
        answer=shown,
    )


@custom_route("chat.cancel", http="POST /v1/chat/{chat_id}/cancel", access=Access.ASK)
async def cancel(chats: ChatService, asked: RouteRequest, chat_id: str) -> CancelledTurns:
    """End a chat's running turn at the next safe point."""
    is_cancelled = await chats.inbox.cancel_anywhere(*asked.by.chat(chat_id))
    return CancelledTurns(cancelled=int(is_cancelled))


@custom_route("chat.undelivered", http="GET /v1/chat/{chat_id}/undelivered", access=Access.ASK)
async def undelivered(chats: ChatService, asked: RouteRequest, chat_id: str) -> UndeliveredMessages:
    """List answers and notes that no client has read yet."""
    rows = await chats.inbox.outbox.undelivered(*asked.by.chat(chat_id))
    messages = [UndeliveredMessage(kind=row.kind, answer=answer_object(row.answer)) for row in rows]
    return UndeliveredMessages(messages=messages)


@custom_route("chat.delivered", http="POST /v1/chat/{chat_id}/delivered", access=Access.ASK)
async def delivered(
    chats: ChatService, asked: RouteRequest, chat_id: str, outbound_ids: Annotated[list[int], Meta(max_length=256)]
) -> DeliveredMessages:
    """Mark answers and notes of the chat as read."""
    rows = await chats.inbox.outbox.undelivered(*asked.by.chat(chat_id))
    waiting_ids = {row.outbound_id for row in rows}
    read_ids = [outbound_id for outbound_id in outbound_ids if outbound_id in waiting_ids]
    for outbound_id in read_ids:
        await chats.inbox.outbox.note_delivered(outbound_id)
    return DeliveredMessages(delivered=read_ids)


async def _delivered(accepted: AcceptedMessage, outbox: Outbox) -> AsyncGenerator[TurnEvent, None]:
    """Yield a turn's events; its answer counts as read once the next one is requested.

    Closing it does not end the turn.
    """
    async with aclosing(accepted.events) as events:
        async for event in events:
            yield event
            if isinstance(event, Answer):
                # The reader may leave now, but the answer was read.
                await asyncio.shield(outbox.note_delivered(event.outbound_id, soon=True))
                return
