"""A server of a test's own, which ends with all its connections: asyncio's leaves one open that had not begun."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


@asynccontextmanager
async def listening(answer: Answer, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Run `answer` for each connection to the port that is given; a peer that hangs up may break it."""
    running: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running[asyncio.create_task(answered(reader, writer))] = writer

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        # A connection that waits is accepted in one turn of the loop and gets its transport in a later one. A server
        # that is closed between the two would give it none.
        for _ in range(8):
            await asyncio.sleep(0)
        server.close()
        for task, writer in running.items():
            task.cancel()
            # A transport that sent its last bytes after it was closed knows no loop any more: asyncio forgets to ask.
            with suppress(AttributeError):
                writer.transport.abort()
        for outcome in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
