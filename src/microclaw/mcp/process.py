"""A stranger's MCP server as a child process, as a transport of the MCP client. It understands no message.

The child gets an environment of its own with no secret of this host in it, and a process group that ends with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
import mcp_types as types
from mcp.shared.message import SessionMessage

from microclaw.mcp.limits import Closed, MessageLimit

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]

INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
MAX_LINE_BYTES: Final = 1 << 20
END_S: Final = 2.0  # for the child to end by itself once its stdin is closed, and again after SIGTERM


def child_environ(environ: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """What a server's process sees: where things are, and what its settings give it."""
    return {**{name: environ[name] for name in INHERITED if name in environ}, **own}


@asynccontextmanager
async def server_process(command: Sequence[str], environ: Mapping[str, str], closed: Closed) -> AsyncIterator[Streams]:
    """The streams of a running child; `closed` hears why they ended. OSError when it cannot be started."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environ),
        limit=MAX_LINE_BYTES,
        start_new_session=True,
    )
    sending, received = anyio.create_memory_object_stream["SessionMessage | Exception"](16)
    send, outgoing = anyio.create_memory_object_stream["SessionMessage"](16)
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_read(process, sending, closed), name=f"read {command[0]}")
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
    process: asyncio.subprocess.Process, sending: MemoryObjectSendStream[SessionMessage | Exception], closed: Closed
) -> None:
    assert process.stdout is not None
    limit = MessageLimit()
    async with sending:
        try:
            while line := await process.stdout.readline():
                if (wrong := limit.wrong_with(len(line))) is not None:
                    closed.because(wrong)
                    return
                if not line.strip():
                    continue
                try:
                    message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    continue  # servers print to stdout by mistake; the limit counts it
                await sending.send(SessionMessage(message))
            closed.because(await _ending(process))
        except ValueError:
            closed.because(f"it sent a line of more than {MAX_LINE_BYTES:,} bytes")
        except (anyio.BrokenResourceError, ConnectionError):
            closed.because("its connection broke")


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
