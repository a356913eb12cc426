"""GET /v1/events: live events as Server-Sent Events (the WHATWG HTML standard's event stream). It makes no events."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import fields
from typing import Annotated, assert_never

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from microclaw.bus.live import LIVE_EVENTS
from microclaw.errors import ConfigError
from microclaw.web.live_feed import LiveFeed, Lost, Numbered

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 2_000
KINDS = frozenset(kind.kind for kind in LIVE_EVENTS)
_ID = re.compile(r"([0-9a-f]{1,32})-([0-9]{1,18})")


def events_router(feed: LiveFeed, keepalive_s: float) -> APIRouter:
    router = APIRouter(tags=["host"])

    @router.get("/v1/events", summary="Live events, as Server-Sent Events", response_class=StreamingResponse)
    async def events(
        device: Annotated[str | None, Query(max_length=64, description="Only this device's")] = None,
        kind: Annotated[list[str] | None, Query(max_length=16, description="Only these kinds")] = None,
        last_event_id: Annotated[str | None, Header(max_length=64)] = None,
    ) -> StreamingResponse:
        """Begins with what comes next, or after `Last-Event-ID` as far as it is still there."""
        unknown = sorted(set(kind or ()) - KINDS)
        if unknown:
            raise ConfigError(
                f"there is no kind of event {unknown[0]!r}", next_step=f"ask for any of {', '.join(sorted(KINDS))}"
            )
        feed.check_room()
        stream = event_stream(feed, _after(feed, last_event_id), keepalive_s, device, frozenset(kind or KINDS))
        return StreamingResponse(stream, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})

    return router


async def event_stream(
    feed: LiveFeed, after: int, keepalive_s: float, device: str | None, kinds: frozenset[str]
) -> AsyncIterator[str]:
    """The body of the answer: events of these kinds, of this device or of any."""
    yield f"retry: {RETRY_MS}\n\n"  # at once, so that the reader knows that it is heard
    async with aclosing(feed.read(after, keepalive_s)) as told:
        async for each in told:
            match each:
                case None:
                    yield ": nothing new\n\n"
                case Lost(count=count):
                    yield f'event: lost\ndata: {{"count":{count}}}\n\n'
                case Numbered(event=event):
                    if event.kind in kinds and device in (None, event.device):
                        yield event_text(feed.run, each)
                case _:
                    assert_never(each)


def event_text(run: str, numbered: Numbered) -> str:
    """One event of the stream: its id, its kind, its facts as one line of JSON."""
    event = numbered.event
    value = {field.name: getattr(event, field.name) for field in fields(event)}
    data = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return f"id: {run}-{numbered.number}\nevent: {event.kind}\ndata: {data}\n\n"


def _after(feed: LiveFeed, last_event_id: str | None) -> int:
    """Where to begin: an id of an earlier run of the host begins at this run's first event."""
    match = _ID.fullmatch(last_event_id or "")
    if match is None:
        return feed.last
    return min(int(match[2]), feed.last) if match[1] == feed.run else 0
