"""An HTTP client whose answers have a limit: the models' SDKs read a whole body into memory. It retries nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import httpx2

from microclaw.host.egress.destinations import Egress, Purpose
from microclaw.host.egress.http_door import http_client

MAX_ANSWER_BYTES = 4 << 20


class UnreadableAnswer(httpx2.ReadError):
    """An answer that is not in the form of the request; its text describes it."""


class AnswerTooLarge(UnreadableAnswer):
    """A body went over the limit; the rest of it is not read."""


def bounded_client(
    limit_bytes: int = MAX_ANSWER_BYTES,
    *,
    stream_bytes: int | None = None,
    proxy: str | None = None,
    base_url: str | None = None,
    egress: Egress | None = None,
) -> httpx2.AsyncClient:
    """Build a client for one SDK, which closes it. Bodies come uncompressed: a small one could hide a huge one.

    `proxy` is the proxy of the settings (CONNECT for https); egress.proxies decides which requests use it.
    `stream_bytes` is the limit of a stream of events, if it differs: such a body is never whole in memory. The client
    connects only to `base_url` and follows no redirect: a key belongs to the address it was given for.
    """
    return http_client(
        Purpose.CONFIGURED,
        base_url,
        egress=egress,
        proxy=proxy,
        headers={"Accept-Encoding": "identity"},
        event_hooks={"response": [partial(_bound, limit_bytes, stream_bytes or limit_bytes)]},
    )


async def _bound(limit_bytes: int, stream_bytes: int, response: httpx2.Response) -> None:
    """Limit the body of an answer, of which only the head is read so far. Raises AnswerTooLarge if it is compressed."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise AnswerTooLarge(f"it is compressed ({encoding[:20]}), which was not asked for", request=response.request)
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    is_stream = response.headers.get("content-type", "").lower().startswith("text/event-stream")
    response.stream = _BoundedStream(response.stream, stream_bytes if is_stream else limit_bytes, response.request)


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, limit_bytes: int, request: httpx2.Request) -> None:
        self._stream = stream
        self._limit_bytes = limit_bytes
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size_bytes = 0
        async for chunk in self._stream:
            size_bytes += len(chunk)
            if size_bytes > self._limit_bytes:
                raise AnswerTooLarge(f"it has more than {self._limit_bytes:,} bytes", request=self._request)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
