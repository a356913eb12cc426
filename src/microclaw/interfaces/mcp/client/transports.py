"""An untrusted MCP server as a child process or at an address, as transports of the MCP client. They read no message.

The child gets its own environment without secrets of this host, and a process group that ends with it. Both transports
limit how much a server may send.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import httpx2
from anyio.abc import ObjectReceiveStream
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from microclaw.agent.models.bounded_http import bounded_client
from microclaw.devices.link.limits import RateLimit
from microclaw.errors import ProtocolError
from microclaw.host.config.settings import McpServerSettings
from microclaw.host.egress.masking import SecretMask
from microclaw.interfaces.mcp.message_stream import MAX_MESSAGE_BYTES, MessageStream
from microclaw.text import clean_text

# Messages at once. Above it the connection ends, because a queue would only delay the flood.
BURST: Final = 500
A_SECOND: Final = 100.0
INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
MAX_STDERR_BYTES: Final = 4096
# About the last three lines.
MAX_STDERR_CHARS: Final = 300
# The time for the child to end by itself after its stdin is closed.
END_S: Final = 2.0
CONNECT_S: Final = 10.0
# After this many bytes a stream of events is opened again.
MAX_STREAM_BYTES: Final = 64 << 20
# A stream of events may be quiet for this time.
SILENCE_S: Final = 300.0


class ConnectionEnd:
    """The reason why a connection ended, or None. The first reason counts. `last_words` is the end of its stderr."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.last_words = ""
        self.event = asyncio.Event()

    def set_reason(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.event.set()


@dataclass(eq=False)
class BoundedStream(ObjectReceiveStream["SessionMessage | Exception"]):
    """A transport's messages until too many arrive at once; `end` gets the reason why they ended."""

    source: Any
    end: ConnectionEnd
    rate: RateLimit = field(default_factory=lambda: RateLimit(A_SECOND, BURST, time.monotonic()))

    async def receive(self) -> SessionMessage | Exception:
        try:
            item: SessionMessage | Exception = await self.source.receive()
        except ProtocolError as exc:
            self.end.set_reason(exc.message)
        except anyio.EndOfStream:
            self.end.set_reason("its connection ended")
        else:
            if self.rate.allows(time.monotonic()):
                return item
            self.end.set_reason("it flooded this host: too many messages at once")
        raise anyio.EndOfStream

    async def aclose(self) -> None:
        await self.source.aclose()


@asynccontextmanager
async def server_process(
    server: McpServerSettings, environ: Mapping[str, str], end: ConnectionEnd
) -> AsyncIterator[tuple[Any, Any]]:
    """Start a child and yield its streams. It sees paths and its own settings. Raises OSError if it cannot start."""
    inherited = {name: environ[name] for name in INHERITED if name in environ}
    process = await asyncio.create_subprocess_exec(
        *server.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**inherited, **server.env},
        limit=MAX_MESSAGE_BYTES,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stderr is not None
    lines = MessageStream(process.stdout, process.stdin)
    async with asyncio.TaskGroup() as tasks:
        words = _read_last_words(process.stderr, end, mask_of(server))
        reading = tasks.create_task(words, name=f"stderr of {server.name}")
        try:
            yield BoundedStream(lines, end), lines
        finally:
            has_ended_itself = process.stdout.at_eof()
            code = await _end(process)
            await asyncio.wait({reading}, timeout=END_S)
            reading.cancel()
            # The exit code says more than the reason of the stream, that its connection ended.
            if has_ended_itself and code is not None:
                end.reason = f"it ended with code {code}" if code else "it ended"


def mask_of(server: McpServerSettings) -> SecretMask:
    """Return a mask for the server's secrets: the values of its env and headers, and each word of a header's value."""
    header_words = " ".join(server.headers.values()).split()
    return SecretMask((*server.env.values(), *server.headers.values(), *header_words))


async def _read_last_words(stderr: asyncio.StreamReader, end: ConnectionEnd, mask: SecretMask) -> None:
    """Read to the end of stderr, so that the process never waits for a reader, and keep its last characters, masked."""
    last = b""
    while chunk := await stderr.read(MAX_STDERR_BYTES):
        last = (last + chunk)[-MAX_STDERR_BYTES:]
        words = mask.masked(clean_text(last.decode(errors="replace"), one_line=True))
        end.last_words = words[-MAX_STDERR_CHARS:]


async def _end(process: asyncio.subprocess.Process) -> int | None:
    """Close the child's stdin, and send SIGKILL to its whole group after END_S, at once if cancelled.

    Returns the exit code, or None if the child did not end by itself.
    """
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_S):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        # The group also has the processes that the child started and left behind.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            # The end of the output is waited for, too, and another process may hold it open.
            with suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await process.wait()
        finally:
            # asyncio has no public way to close the pipes.
            process._transport.close()  # type: ignore[attr-defined]


@asynccontextmanager
async def remote_server(
    server: McpServerSettings, proxy: str | None, end: ConnectionEnd
) -> AsyncIterator[tuple[Any, Any]]:
    """Connect to the server's address and yield the streams."""
    assert server.url is not None
    async with bounded_client(
        MAX_MESSAGE_BYTES, stream_bytes=MAX_STREAM_BYTES, proxy=proxy, base_url=server.url
    ) as client:
        client.headers.update(server.headers)
        client.timeout = httpx2.Timeout(SILENCE_S, connect=CONNECT_S)
        transport = streamable_http_client(server.url, http_client=client, max_sse_event_size=MAX_MESSAGE_BYTES)
        async with transport as (read, write):
            yield BoundedStream(read, end), write
