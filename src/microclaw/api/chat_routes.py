"""/v1/chat: a person's message in, the turn's events out as JSON lines; what is left of a chat; its cancel.

The message is in the agent's inbox: a client that goes away still has its answer kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from microclaw.agent.inbox import AcceptedMessage
from microclaw.agent.outbox import Outbox
from microclaw.api.bearer import CHANNEL as API
from microclaw.api.bearer import By, Caller
from microclaw.api.jobs import MEDIA_TYPE
from microclaw.api.parts import HostParts
from microclaw.events import Answer, Inbound, TurnEvent
from microclaw.wire.host_api import Keepalive, answer_object, encode_event

CHANNEL = "terminal"

ChatId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]


class ChatBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1)]
    chat_id: ChatId = "terminal"
    device: str | None = None


class DeliveredBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    outbound_ids: Annotated[list[int], Field(max_length=256)]


def chat_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["chat"])
    inbox = parts.conversations.inbox
    outbox = inbox.outbox
    deliveries = _Deliveries(outbox)

    @router.post("/v1/chat", summary="One message; the turn's events as JSON lines")
    async def chat(body: ChatBody, by: By) -> StreamingResponse:
        if body.device is not None:
            parts.devices.get(body.device)
        channel, chat_id = _place(by, body.chat_id)
        accepted = await inbox.accept(Inbound(channel, chat_id, body.text, by.principal, body.device))
        lines = _lines(accepted, deliveries, parts.settings.limits.keepalive_s)
        return StreamingResponse(lines, media_type=MEDIA_TYPE)

    @router.post("/v1/chat/{chat_id}/cancel", summary="End a chat's running turn at the next safe point")
    async def cancel(chat_id: str, by: By) -> dict[str, Any]:
        return {"cancelled": int(inbox.cancel(*_place(by, chat_id)))}

    @router.get("/v1/chat/{chat_id}/undelivered", summary="Answers and notes that nobody has read yet")
    async def undelivered(chat_id: str, by: By) -> dict[str, Any]:
        waiting = await outbox.undelivered(*_place(by, chat_id))
        return {"messages": [{"kind": o.kind, "answer": answer_object(o.answer)} for o in waiting]}

    @router.post("/v1/chat/{chat_id}/delivered", summary="These answers and notes of the chat were read")
    async def delivered(chat_id: str, body: DeliveredBody, by: By) -> dict[str, Any]:
        waiting = {outbound.outbound_id for outbound in await outbox.undelivered(*_place(by, chat_id))}
        read = [outbound_id for outbound_id in body.outbound_ids if outbound_id in waiting]
        for outbound_id in read:
            await outbox.delivered(outbound_id)
        return {"delivered": read}

    return router


def _place(by: Caller, chat_id: str) -> tuple[str, str]:
    """Channel and chat: a token has chats of its own."""
    return (CHANNEL if by.direct else API), by.scoped(chat_id)


class _Deliveries:
    """Notes of what clients have been sent, which a client that closes at once does not cut off."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._noting: set[asyncio.Task[None]] = set()

    async def note(self, outbound_id: int) -> None:
        noting = asyncio.ensure_future(self._outbox.delivered(outbound_id))
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)
        await asyncio.shield(noting)


async def _lines(accepted: AcceptedMessage, deliveries: _Deliveries, keepalive_s: float) -> AsyncIterator[bytes]:
    """A turn's events as they come, a keepalive in silence. Closing it leaves the turn alone."""
    coming: asyncio.Future[TurnEvent] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(accepted.events))
            await asyncio.wait((coming,), timeout=keepalive_s)
            if not coming.done():
                yield encode_event(Keepalive())
                continue
            event = coming.result()
            coming = None
            yield encode_event(event)
            if isinstance(event, Answer):
                if event.outbound_id is not None:
                    await deliveries.note(event.outbound_id)
                return
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait((coming,))
        await accepted.events.aclose()
