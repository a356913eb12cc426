"""A job's feed as an HTTP answer of one JSON object a line."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse

from microclaw.web.jobs import Feed
from microclaw.web.stream import encode_event

MEDIA_TYPE = "application/x-ndjson"


def stream_response(feed: Feed, keepalive_s: float) -> StreamingResponse:
    """Lines as they come. A client that goes away ends the answer and not the job."""

    async def lines() -> AsyncIterator[bytes]:
        async for event in feed.read(keepalive_s):
            yield encode_event(event)

    return StreamingResponse(lines(), media_type=MEDIA_TYPE)
