"""An untrusted MCP server as a child process or at an address, as transports of the MCP client. They read no message.

The child gets an environment of its own with no secret of this host in it, and a process group that ends with it. How
much a server may send is limited for both.
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

from microclaw.config.settings import McpServerSettings
from microclaw.errors import ProtocolError
from microclaw.link_server.limits import RateLimit
from microclaw.masking import SecretMask
from microclaw.mcp.lines import MAX_MESSAGE_BYTES, MessageLines
from microclaw.models.bounded_http import bounded_client
from microclaw.text import clean_text

BURST: Final = 500  # messages at once: over it the connection ends, as a queue would only delay the flood
A_SECOND: Final = 100.0
INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
MAX_STDERR_BYTES: Final = 4096
MAX_STDERR_CHARS: Final = 300  # about its last three lines
END_S: Final = 2.0  # for the child to end by itself once its stdin is closed
CONNECT_S: Final = 10.0
MAX_STREAM_BYTES: Final = 64 << 20  # a stream of events that has sent so much is opened again
SILENCE_S: Final = 300.0  # a stream of events may be quiet for long


class ConnectionEnd:
    """The reason why a connection ended, once it has; the first one counts. `last_words` are its stderr's."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.last_words = ""
        self.event = asyncio.Event()

    def because(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.event.set()


@dataclass(eq=False)
class BoundedStream(ObjectReceiveStream["SessionMessage | Exception"]):
    """A transport's messages until too much comes at once; `end` gets the reason why they ended."""

    source: Any
    end: ConnectionEnd
    rate: RateLimit = field(default_factory=lambda: RateLimit(A_SECOND, BURST, time.monotonic()))

    async def receive(self) -> SessionMessage | Exception:
        try:
            item: SessionMessage | Exception = await self.source.receive()
        except ProtocolError as exc:
            self.end.because(exc.message)
        except anyio.EndOfStream:
            self.end.because("its connection ended")
        else:
            if self.rate.allows(time.monotonic()):
                return item
            self.end.because("it flooded this host: too many messages at once")
        raise anyio.EndOfStream

    async def aclose(self) -> None:
        await self.source.aclose()


@asynccontextmanager
async def server_process(
    server: McpServerSettings, environ: Mapping[str, str], end: ConnectionEnd
) -> AsyncIterator[tuple[Any, Any]]:
    """The streams of a running child, which sees paths and its own settings. OSError when it cannot be started."""
    process = await asyncio.create_subprocess_exec(
        *server.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**{name: environ[name] for name in INHERITED if name in environ}, **server.env},
        limit=MAX_MESSAGE_BYTES,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stderr is not None
    lines = MessageLines(process.stdout, process.stdin)
    async with asyncio.TaskGroup() as tasks:
        words = _read_last_words(process.stderr, end, mask_of(server))
        reading = tasks.create_task(words, name=f"stderr of {server.name}")
        try:
            yield BoundedStream(lines, end), lines
        finally:
            is_at_its_end = process.stdout.at_eof()
            code = await _end(process)
            await asyncio.wait({reading}, timeout=END_S)
            reading.cancel()
            if is_at_its_end and code is not None:
                if code:
                    end.reason = f"it ended with code {code}"
                else:
                    end.reason = "it ended"


def mask_of(server: McpServerSettings) -> SecretMask:
    """Return what masks the server's secrets: the values of its env and headers, and each word of a header's."""
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
    """Close its stdin, then SIGKILL to its whole group, at once if cancelled; the code, if it ended by itself."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_S):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it started and left behind
        try:
            with suppress(TimeoutError):  # it waits for the end of what was printed, too
                async with asyncio.timeout(END_S):
                    await process.wait()
        finally:
            process._transport.close()  # type: ignore[attr-defined]  # asyncio gives no other way


@asynccontextmanager
async def remote_server(
    server: McpServerSettings, proxy: str | None, end: ConnectionEnd
) -> AsyncIterator[tuple[Any, Any]]:
    """The streams of a connection to the server's address."""
    assert server.url is not None
    async with bounded_client(
        MAX_MESSAGE_BYTES, stream_bytes=MAX_STREAM_BYTES, proxy=proxy, base_url=server.url
    ) as client:
        client.headers.update(server.headers)
        client.timeout = httpx2.Timeout(SILENCE_S, connect=CONNECT_S)
        transport = streamable_http_client(server.url, http_client=client, max_sse_event_size=MAX_MESSAGE_BYTES)
        async with transport as (read, write):
            yield BoundedStream(read, end), write
