"""A stranger's MCP server at an address (Streamable HTTP), as a transport of the MCP client. It reads no message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from microclaw.config import McpServerSettings
from microclaw.mcp.limits import MAX_MESSAGE_BYTES, Closed, MessageLimit
from microclaw.models.bounded_http import bounded_client

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

CONNECT_S: Final = 10.0
MAX_STREAM_BYTES: Final = 64 << 20  # a stream of events that has sent so much is opened anew
SILENCE_S: Final = 300.0  # a stream of events may be quiet for long


@asynccontextmanager
async def remote_server(
    server: McpServerSettings, proxy: str | None, closed: Closed
) -> AsyncIterator[tuple[MemoryObjectReceiveStream[SessionMessage | Exception], Any]]:
    """The streams of a connection; `closed` hears why they ended."""
    assert server.url is not None
    async with bounded_client(
        MAX_MESSAGE_BYTES, stream_bytes=MAX_STREAM_BYTES, proxy=proxy, base_url=server.url
    ) as client:
        client.headers.update(server.headers)
        client.timeout = httpx2.Timeout(SILENCE_S, connect=CONNECT_S)
        transport = streamable_http_client(server.url, http_client=client, max_sse_event_size=MAX_MESSAGE_BYTES)
        sending, received = anyio.create_memory_object_stream["SessionMessage | Exception"](16)
        async with transport as (read, write), anyio.create_task_group() as group:
            group.start_soon(_pass_on, read, sending, closed)
            try:
                yield received, write
            finally:
                group.cancel_scope.cancel()
                received.close()


async def _pass_on(read: Any, sending: MemoryObjectSendStream[SessionMessage | Exception], closed: Closed) -> None:
    limit = MessageLimit()
    async with sending:
        async for item in read:
            wrong = limit.wrong_with(0)
            if wrong is not None:
                closed.because(wrong)
                return
            await sending.send(item)
        closed.because("its connection ended")
