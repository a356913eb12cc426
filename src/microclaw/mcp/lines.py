"""MCP messages as lines of JSON over a pair of asyncio streams: a program's pipes, or a socket. It reads no message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from microclaw.errors import ProtocolError

MAX_MESSAGE_BYTES: Final = 1 << 20
END_S: Final = 1.0
Received: TypeAlias = MemoryObjectReceiveStream[SessionMessage | Exception]
Streams: TypeAlias = tuple[Received, Any]
"""To read from, to write to."""


@asynccontextmanager
async def message_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[Streams]:
    """The messages both ways.

    A line that is no message comes as its error. The limit of `reader` bounds a line: a longer one is the last, as a
    ProtocolError.
    """
    sending, received = anyio.create_memory_object_stream["SessionMessage | Exception"](16)
    send, outgoing = anyio.create_memory_object_stream["SessionMessage"](16)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read(reader, sending), name="MCP: read")
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


async def _read(reader: asyncio.StreamReader, sending: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
        async with sending:
            try:
                while line := await reader.readline():
                    await sending.send(_parsed(line))
            except ValueError:
                await sending.send(ProtocolError(f"it sent a line of more than {MAX_MESSAGE_BYTES:,} bytes"))


def _parsed(line: bytes) -> SessionMessage | ValueError:
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as exc:  # servers print to stdout by mistake
        return exc


async def _write(writer: asyncio.StreamWriter, outgoing: MemoryObjectReceiveStream[SessionMessage]) -> None:
    with suppress(ConnectionError):  # it is gone: the reader ends
        async for item in outgoing:
            writer.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await writer.drain()
