"""MCP messages as lines of JSON over a pair of asyncio streams: a program's pipes, or a socket. It reads no message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import MessageMetadata, SessionMessage

MAX_MESSAGE_BYTES: Final = 1 << 20
END_S: Final = 1.0
FLOOD: Final = "it flooded this host: too many messages at once"
Received: TypeAlias = MemoryObjectReceiveStream[SessionMessage | Exception]
Streams: TypeAlias = tuple[Received, MemoryObjectSendStream[SessionMessage]]


@asynccontextmanager
async def message_lines(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    allows: Callable[[], bool] = lambda: True,
    metadata: MessageMetadata = None,
    on_end: Callable[[str], object] = lambda _: None,
) -> AsyncIterator[Streams]:
    """The messages both ways; `on_end` is told why there are no more to read.

    The limit of `reader` bounds a line. `allows` is asked for each, and its no ends the reading. Each that is read has
    the `metadata`.
    """
    sending, received = anyio.create_memory_object_stream["SessionMessage | Exception"](16)
    send, outgoing = anyio.create_memory_object_stream["SessionMessage"](16)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read(reader, sending, allows, metadata), name="MCP: read")
        reading.add_done_callback(lambda done: None if done.cancelled() else on_end(done.result()))
        writing = group.create_task(_write(writer, outgoing), name="MCP: write")
        try:
            yield received, send
        finally:
            send.close()
            await asyncio.wait((writing,), timeout=END_S)  # what was answered already
            writing.cancel()
            reading.cancel()
            for stream in (sending, received, outgoing):
                stream.close()


async def _read(
    reader: asyncio.StreamReader,
    sending: MemoryObjectSendStream[SessionMessage | Exception],
    allows: Callable[[], bool],
    metadata: MessageMetadata,
) -> str:
    async with sending:
        try:
            while line := await reader.readline():
                if not allows():
                    return FLOOD
                with suppress(ValueError):  # servers print to stdout by mistake; the limit counts it
                    message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                    await sending.send(SessionMessage(message, metadata))
        except ValueError:
            return f"it sent a line of more than {MAX_MESSAGE_BYTES:,} bytes"
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
            return "its connection broke"
    return "it closed its output"


async def _write(writer: asyncio.StreamWriter, outgoing: MemoryObjectReceiveStream[SessionMessage]) -> None:
    with suppress(ConnectionError):  # it is gone: the reader tells
        async for item in outgoing:
            writer.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await writer.drain()
