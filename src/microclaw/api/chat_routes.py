"""/v1/chat: a person's message in, the turn's events out as JSON lines; undelivered answers; cancelling a turn.

The message is in the agent's inbox, so the answer is kept for a client that disconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct, convert
from starlette.responses import Response

from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import AcceptedMessage, Outbox
from microclaw.api.by_hand import Asked, by_hand
from microclaw.api.credential_end import ENDED_KEY
from microclaw.api.jobs import MEDIA_TYPE, stream
from microclaw.devices.registry import Registry
from microclaw.events import Answer, Inbound, TurnEvent
from microclaw.knowledge.operations import SessionLine
from microclaw.operations.operation import Access
from microclaw.store.sessions import Sessions, session_name
from microclaw.wire.host_api import answer_object, encode_event

MAX_CHATS = 20
MAX_MESSAGES = 100
_MAX_TEXT_CHARS = 80

ChatId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]


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


class ChatMessages(Struct, frozen=True, kw_only=True):
    """The newest, and the texts that wait for their turn."""

    messages: list[SessionLine]
    waiting: list[str]


class CancelledTurns(Struct, frozen=True, kw_only=True):
    cancelled: int


class UndeliveredMessage(Struct, frozen=True, kw_only=True):
    kind: str
    answer: dict[str, Any]


class UndeliveredMessages(Struct, frozen=True, kw_only=True):
    messages: list[UndeliveredMessage]


class DeliveredMessages(Struct, frozen=True, kw_only=True):
    delivered: list[int]


@by_hand("chat.say", http="POST /v1/chat", access=Access.ASK, media=MEDIA_TYPE)
async def say(
    chats: ChatService,
    asked: Asked,
    text: Annotated[str, Meta(min_length=1)],
    chat_id: ChatId = "terminal",
    device: str | None = None,
) -> Response:
    """One message; the turn's events as JSON lines."""
    if device is not None:
        chats.devices.get(device)
    channel, own_id = asked.by.chat(chat_id)
    accepted = await chats.inbox.accept(Inbound(channel, own_id, text, asked.by.person_id, device))

    def leave() -> None:
        ended = asked.request.scope.get(ENDED_KEY)
        if ended is not None and ended.is_set():  # nobody may read the answer any more
            chats.inbox.cancel(channel, own_id, message_id=accepted.message_id)

    events = _delivered(accepted, chats.inbox.outbox)
    return stream(events, encode_event, chats.keepalive_s, left=leave)


@by_hand("chat.list", http="GET /v1/chat", access=Access.ASK)
async def list_chats(chats: ChatService, asked: Asked) -> Chats:
    """The caller's newest conversations."""
    start = session_name(*asked.by.chat(""))
    found = [one for one in await chats.sessions.list() if one.name.startswith(start)][:MAX_CHATS]
    shown = []
    for one in found:
        said = [line.content for line in await chats.sessions.show(one.name, 4) if line.role == "user"]
        if said:
            text = " ".join(said[-1].split())[:_MAX_TEXT_CHARS]
        else:
            text = ""
        shown.append(ChatFacts(chat_id=one.name.removeprefix(start), changed_s=int(one.changed_s), text=text))
    return Chats(chats=shown)


@by_hand("chat.show", http="GET /v1/chat/{chat_id}/messages", access=Access.ASK)
async def show_chat(chats: ChatService, asked: Asked, chat_id: ChatId) -> ChatMessages:
    """A conversation's newest messages."""
    address = asked.by.chat(chat_id)
    waiting = chats.inbox.waiting(*address)
    messages = await chats.sessions.load(*address, MAX_MESSAGES)
    return ChatMessages(messages=convert(messages, list[SessionLine], from_attributes=True), waiting=list(waiting))


@by_hand("chat.cancel", http="POST /v1/chat/{chat_id}/cancel", access=Access.ASK)
async def cancel(chats: ChatService, asked: Asked, chat_id: str) -> CancelledTurns:
    """End a chat's running turn at the next safe point."""
    return CancelledTurns(cancelled=int(await chats.inbox.cancel_anywhere(*asked.by.chat(chat_id))))


@by_hand("chat.undelivered", http="GET /v1/chat/{chat_id}/undelivered", access=Access.ASK)
async def undelivered(chats: ChatService, asked: Asked, chat_id: str) -> UndeliveredMessages:
    """Answers and notes that nobody has read yet."""
    waiting = await chats.inbox.outbox.undelivered(*asked.by.chat(chat_id))
    return UndeliveredMessages(
        messages=[UndeliveredMessage(kind=one.kind, answer=answer_object(one.answer)) for one in waiting]
    )


@by_hand("chat.delivered", http="POST /v1/chat/{chat_id}/delivered", access=Access.ASK)
async def delivered(
    chats: ChatService, asked: Asked, chat_id: str, outbound_ids: Annotated[list[int], Meta(max_length=256)]
) -> DeliveredMessages:
    """These answers and notes of the chat were read."""
    waiting = {one.outbound_id for one in await chats.inbox.outbox.undelivered(*asked.by.chat(chat_id))}
    read = [outbound_id for outbound_id in outbound_ids if outbound_id in waiting]
    for outbound_id in read:
        await chats.inbox.outbox.delivered(outbound_id)
    return DeliveredMessages(delivered=read)


async def _delivered(accepted: AcceptedMessage, outbox: Outbox) -> AsyncGenerator[TurnEvent, None]:
    """A turn's events; its answer was read when the next one is asked for. Closing it does not end the turn."""
    async with aclosing(accepted.events) as events:
        async for event in events:
            yield event
            if isinstance(event, Answer):
                await asyncio.shield(outbox.delivered(event.outbound_id, soon=True))  # its reader may leave
                return
