"""An untrusted MCP server as a child process or at an address, as transports of the MCP client. They read no message.

The child gets an environment of its own with no secret of this host in it, and a process group that ends with it. How
much a server may send is limited for both.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
import httpx2
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from microclaw.config.settings import McpServerSettings
from microclaw.link_server.limits import RateLimit
from microclaw.models.bounded_http import bounded_client

MAX_MESSAGE_BYTES: Final = 1 << 20
BURST: Final = 500
A_SECOND: Final = 100.0
INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
END_S: Final = 2.0  # for the child to end by itself once its stdin is closed, and again after SIGTERM
CONNECT_S: Final = 10.0
MAX_STREAM_BYTES: Final = 64 << 20  # a stream of events that has sent so much is opened anew
SILENCE_S: Final = 300.0  # a stream of events may be quiet for long

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]


class MessageLimit:
    """How large and how many messages may be. Over it the connection ends: a queue would only delay the flood."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._rate = RateLimit(A_SECOND, BURST, now_s())

    def wrong_with(self, size_bytes: int) -> str | None:
        """Count one message; what is wrong with it, or None."""
        if size_bytes > MAX_MESSAGE_BYTES:
            return f"it sent a message of {size_bytes:,} bytes, at most {MAX_MESSAGE_BYTES:,} are read"
        if not self._rate.allows(self._now_s()):
            return f"it flooded this host: more than {BURST} messages at once"
        return None


class ConnectionEnd:
    """Why a connection ended; the first reason counts."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason = "it ended"

    def because(self, reason: str) -> None:
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> str:
        await self._event.wait()
        return self.reason


def child_environ(environ: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server's process: paths, and what its settings add."""
    return {**{name: environ[name] for name in INHERITED if name in environ}, **own}


@asynccontextmanager
async def server_process(
    command: Sequence[str], environ: Mapping[str, str], end: ConnectionEnd
) -> AsyncIterator[Streams]:
    """The streams of a running child; `end` hears why they ended. OSError when it cannot be started."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environ),
        limit=MAX_MESSAGE_BYTES,
        start_new_session=True,
    )
    sending, received = anyio.create_memory_object_stream["SessionMessage | Exception"](16)
    send, outgoing = anyio.create_memory_object_stream["SessionMessage"](16)
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_read(process, sending, end), name=f"read {command[0]}")
            writing = group.create_task(_write(process, outgoing), name=f"write {command[0]}")
            try:
                yield received, send
            finally:
                writing.cancel()
                reading.cancel()
    finally:
        for stream in (sending, received, send, outgoing):
            stream.close()
        await _end(process)


async def _read(
    process: asyncio.subprocess.Process, sending: MemoryObjectSendStream[SessionMessage | Exception], end: ConnectionEnd
) -> None:
    assert process.stdout is not None
    limit = MessageLimit()
    async with sending:
        try:
            while line := await process.stdout.readline():
                if (wrong := limit.wrong_with(len(line))) is not None:
                    end.because(wrong)
                    return
                if not line.strip():
                    continue
                try:
                    message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    continue  # servers print to stdout by mistake; the limit counts it
                await sending.send(SessionMessage(message))
            end.because(await _ending(process))
        except ValueError:
            end.because(f"it sent a line of more than {MAX_MESSAGE_BYTES:,} bytes")
        except (anyio.BrokenResourceError, ConnectionError):
            end.because("its connection broke")


async def _ending(process: asyncio.subprocess.Process) -> str:
    """Why there is nothing more to read; what it wrote to stderr is not kept."""
    try:
        async with asyncio.timeout(END_S):
            code = await process.wait()
    except TimeoutError:
        return "it closed its output"
    return "it ended" if code == 0 else f"it ended with code {code} (run its command by hand to see why)"


async def _write(process: asyncio.subprocess.Process, outgoing: MemoryObjectReceiveStream[SessionMessage]) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError):  # it is gone: the reader tells
        async for item in outgoing:
            process.stdin.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await process.stdin.drain()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its stdin, then SIGTERM, then SIGKILL to its whole group; returns when it is gone."""
    assert process.stdin is not None
    process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await process.wait()
                break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what it started and left behind
    transport: Any = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


@asynccontextmanager
async def remote_server(
    server: McpServerSettings, proxy: str | None, end: ConnectionEnd
) -> AsyncIterator[tuple[MemoryObjectReceiveStream[SessionMessage | Exception], Any]]:
    """The streams of a connection; `end` hears why they ended."""
    assert server.url is not None
    async with bounded_client(
        MAX_MESSAGE_BYTES, stream_bytes=MAX_STREAM_BYTES, proxy=proxy, base_url=server.url
    ) as client:
        client.headers.update(server.headers)
        client.timeout = httpx2.Timeout(SILENCE_S, connect=CONNECT_S)
        transport = streamable_http_client(server.url, http_client=client, max_sse_event_size=MAX_MESSAGE_BYTES)
        sending, received = anyio.create_memory_object_stream["SessionMessage | Exception"](16)
        async with transport as (read, write), anyio.create_task_group() as group:
            group.start_soon(_pass_on, read, sending, end)
            try:
                yield received, write
            finally:
                group.cancel_scope.cancel()
                received.close()


async def _pass_on(read: Any, sending: MemoryObjectSendStream[SessionMessage | Exception], end: ConnectionEnd) -> None:
    limit = MessageLimit()
    async with sending:
        async for item in read:
            wrong = limit.wrong_with(0)
            if wrong is not None:
                end.because(wrong)
                return
            await sending.send(item)
        end.because("its connection ended")
