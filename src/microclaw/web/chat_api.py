"""/v1/chat: a person's message in, the turn's events out as JSON lines. The turn itself is the agent's."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Annotated, Any, Protocol, cast

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from microclaw.agent.events import Answer
from microclaw.bus.events import Inbound
from microclaw.errors import ConfigError
from microclaw.web.jobs import Feed
from microclaw.web.ndjson import stream_response
from microclaw.web.parts import HostParts
from microclaw.web.stream import Failure, StreamEvent

CHANNEL = "terminal"

ChatId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]


class ChatBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1)]
    chat_id: ChatId = "terminal"
    device: str | None = None


def chat_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["chat"])
    cancels: dict[str, set[asyncio.Event]] = {}

    @router.post("/v1/chat", summary="One message; the turn's events as JSON lines")
    async def chat(body: ChatBody) -> StreamingResponse:
        limit = parts.settings.limits.message_bytes
        size = len(body.text.encode(errors="replace"))
        if size > limit:
            raise ConfigError(f"the message has {size:,} bytes, at most {limit:,} are read", next_step="say it shorter")
        if body.device is not None:
            parts.devices.get(body.device)
        inbound = Inbound(CHANNEL, body.chat_id, body.text, device=body.device)

        async def turn(feed: Feed) -> StreamEvent:
            cancelled = asyncio.Event()
            running = cancels.setdefault(body.chat_id, set())
            running.add(cancelled)
            try:
                return await _turn(parts, inbound, feed, cancelled)
            finally:
                running.discard(cancelled)
                if not running:
                    cancels.pop(body.chat_id, None)

        feed = parts.jobs.start(f"chat {body.chat_id}", turn)
        return stream_response(feed, parts.settings.limits.keepalive_s)

    @router.post("/v1/chat/{chat_id}/cancel", summary="End a chat's running turn at the next safe point")
    async def cancel(chat_id: str) -> dict[str, Any]:
        running = cancels.get(chat_id, set())
        for cancelled in running:
            cancelled.set()
        return {"cancelled": len(running)}

    return router


class _Events(Protocol):
    """An asynchronous generator, as far as it matters here."""

    async def __anext__(self) -> Any: ...

    async def aclose(self) -> None: ...


async def _turn(parts: HostParts, inbound: Inbound, feed: Feed, cancelled: asyncio.Event) -> StreamEvent:
    """Pass a turn's events on; its answer is the end. When cancelled, the agent finishes the step it is in, alone."""
    events = cast("_Events", parts.chats.chat(inbound))
    stop = asyncio.ensure_future(cancelled.wait())
    try:
        async with aclosing(events):
            while True:
                step = asyncio.ensure_future(events.__anext__())
                await asyncio.wait((step, stop), return_when=asyncio.FIRST_COMPLETED)
                if not step.done():
                    step.cancel()
                    await asyncio.wait((step,))
                    return _CANCELLED
                event = step.result()
                if isinstance(event, Answer):
                    return event
                feed.put(event)
    except StopAsyncIteration:
        return Failure("failed", "the turn ended without an answer", "the traceback is in the host's log")
    finally:
        stop.cancel()


_CANCELLED = Answer(
    "cancelled: a step that had begun is finished, nothing more is started",
    error_code="cancelled",
    next_step="microclaw app list shows what is running",
)
