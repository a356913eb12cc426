"""MCP messages as lines of JSON over a pair of asyncio streams: a program's pipes, or a socket. It reads no message."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import anyio
import mcp_types as types
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import SessionMessage

from microclaw.errors import ProtocolError

MAX_MESSAGE_BYTES: Final = 1 << 20


@dataclass(eq=False)
class MessageStream(ObjectReceiveStream["SessionMessage | Exception"], ObjectSendStream[SessionMessage]):
    """The messages in both directions. The opener of the reader and the writer closes them."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message, or the error for a line that is not a message.

        Raises ProtocolError if a line is longer than the limit of `reader`, and EndOfStream after the last line.
        """
        line = b""
        try:
            with suppress(ConnectionError):
                line = await self.reader.readline()
        except ValueError as exc:
            raise ProtocolError(f"it sent a line of more than {MAX_MESSAGE_BYTES:,} bytes") from exc
        if not line:
            raise anyio.EndOfStream
        try:
            return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError as exc:
            # Not raised, because servers print to stdout by mistake.
            return exc

    async def send(self, item: SessionMessage) -> None:
        line = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        # If the other side is gone, the reader ends.
        with suppress(ConnectionError):
            self.writer.write(line)
            await self.writer.drain()

    async def aclose(self) -> None:
        pass
