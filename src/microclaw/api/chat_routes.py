"""/v1/chat: a person's message in, the turn's events out as JSON lines; undelivered answers; cancelling a turn.

The message is in the agent's inbox, so the answer is kept for a client that disconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import Field
from typing_extensions import TypedDict

from microclaw.agent.accepted_message import AcceptedMessage
from microclaw.agent.outbox import Outbox
from microclaw.api.answers import answers, filled
from microclaw.api.body import RequestBody
from microclaw.api.caller import CHANNEL as API
from microclaw.api.caller import Caller, RequestCaller
from microclaw.api.credential_end import has_ended
from microclaw.api.jobs import MEDIA_TYPE, paced
from microclaw.api.parts import HostParts
from microclaw.events import Answer, Inbound
from microclaw.store.sessions import session_name
from microclaw.wire.host_api import Keepalive, answer_object, encode_event

CHANNEL = "terminal"
MAX_CHATS = 20
MAX_MESSAGES = 100
_MAX_TEXT_CHARS = 80

ChatId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]


class ChatBody(RequestBody):
    text: Annotated[str, Field(min_length=1)]
    chat_id: ChatId = "terminal"
    device: str | None = None


class DeliveredBody(RequestBody):
    outbound_ids: Annotated[list[int], Field(max_length=256)]


class CancelledTurns(TypedDict):
    cancelled: int


class UndeliveredMessage(TypedDict):
    """`answer` is as a chat's last line has it."""

    kind: str
    answer: dict[str, Any]


class UndeliveredMessages(TypedDict):
    messages: list[UndeliveredMessage]


class DeliveredMessages(TypedDict):
    delivered: list[int]


class ChatFacts(TypedDict):
    """`text`: the newest message of the person."""

    chat_id: str
    changed_s: Annotated[int, Field(description="Unix time in s")]
    text: str


class Chats(TypedDict):
    chats: list[ChatFacts]


class SessionLine(TypedDict):
    role: str
    content: str
    ts: Annotated[int, Field(description="Unix time in s")]
    person: str


class ChatMessages(TypedDict):
    """`waiting`: messages that have no answer yet, in order."""

    messages: list[SessionLine]
    waiting: list[str]


def chat_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["chat"])
    inbox = parts.conversations.inbox
    outbox, sessions = inbox.outbox, parts.knowledge.sessions
    deliveries = _DeliveryLog(outbox)

    @router.post("/v1/chat", summary="One message; the turn's events as JSON lines")
    async def chat(body: ChatBody, by: RequestCaller, request: Request) -> StreamingResponse:
        if body.device is not None:
            parts.devices.get(body.device)
        channel, chat_id = _chat_address(by, body.chat_id)
        accepted = await inbox.accept(Inbound(channel, chat_id, body.text, by.person_id, body.device))

        def leave() -> None:
            if has_ended(request.scope):  # nobody may read the answer any more
                inbox.cancel(channel, chat_id, message_id=accepted.message_id)

        lines = _lines(accepted, deliveries, parts.settings.limits.keepalive_s, leave)
        return StreamingResponse(lines, media_type=MEDIA_TYPE)

    @router.get("/v1/chat", summary="The caller's newest conversations", responses=answers(Chats))
    async def list_chats(by: RequestCaller) -> dict[str, Any]:
        start = session_name(*_chat_address(by, ""))
        found = [one for one in await sessions.list() if one.name.startswith(start)][:MAX_CHATS]
        chats = []
        for one in found:
            said = [line.content for line in await sessions.show(one.name, 4) if line.role == "user"]
            text = " ".join(said[-1].split())[:_MAX_TEXT_CHARS] if said else ""
            chats.append({"chat_id": one.name.removeprefix(start), "changed_s": int(one.changed_s), "text": text})
        return {"chats": chats}

    @router.get(
        "/v1/chat/{chat_id}/messages", summary="A conversation's newest messages", responses=answers(ChatMessages)
    )
    async def show_chat(chat_id: ChatId, by: RequestCaller) -> dict[str, Any]:
        channel, own_id = _chat_address(by, chat_id)
        waiting = inbox.waiting(channel, own_id)
        messages = await sessions.load(channel, own_id, MAX_MESSAGES)
        return {"messages": [filled(SessionLine, one) for one in messages], "waiting": list(waiting)}

    @router.post(
        "/v1/chat/{chat_id}/cancel",
        summary="End a chat's running turn at the next safe point",
        responses=answers(CancelledTurns),
    )
    async def cancel(chat_id: str, by: RequestCaller) -> dict[str, Any]:
        return {"cancelled": int(await inbox.cancel_anywhere(*_chat_address(by, chat_id)))}

    @router.get(
        "/v1/chat/{chat_id}/undelivered",
        summary="Answers and notes that nobody has read yet",
        responses=answers(UndeliveredMessages),
    )
    async def undelivered(chat_id: str, by: RequestCaller) -> dict[str, Any]:
        waiting = await outbox.undelivered(*_chat_address(by, chat_id))
        return {"messages": [{"kind": o.kind, "answer": answer_object(o.answer)} for o in waiting]}

    @router.post(
        "/v1/chat/{chat_id}/delivered",
        summary="These answers and notes of the chat were read",
        responses=answers(DeliveredMessages),
    )
    async def delivered(chat_id: str, body: DeliveredBody, by: RequestCaller) -> dict[str, Any]:
        waiting = {outbound.outbound_id for outbound in await outbox.undelivered(*_chat_address(by, chat_id))}
        read = [outbound_id for outbound_id in body.outbound_ids if outbound_id in waiting]
        for outbound_id in read:
            await outbox.delivered(outbound_id)
        return {"delivered": read}

    return router


def _chat_address(by: Caller, chat_id: str) -> tuple[str, str]:
    """The channel and chat id."""
    return (CHANNEL if by.direct else API), by.scoped(chat_id)


class _DeliveryLog:
    """Records delivered answers, even when the client closes at once."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._recording: set[asyncio.Task[None]] = set()

    async def record(self, outbound_id: int) -> None:
        recording = asyncio.ensure_future(self._outbox.delivered(outbound_id, soon=True))
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)
        await asyncio.shield(recording)


async def _lines(
    accepted: AcceptedMessage, deliveries: _DeliveryLog, keepalive_s: float, leave: Callable[[], None]
) -> AsyncIterator[bytes]:
    """A turn's events as they come, a keepalive when there are none. Closing it does not end the turn by itself."""
    try:
        async with aclosing(paced(accepted.events, keepalive_s)) as events:
            async for event in events:
                yield encode_event(event or Keepalive())
                if isinstance(event, Answer):
                    if event.outbound_id is not None:
                        await deliveries.record(event.outbound_id)
                    return
    finally:
        leave()
