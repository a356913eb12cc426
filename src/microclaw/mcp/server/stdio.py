"""`microclaw mcp`: one MCP client on stdin and stdout. It ends with the client.

A host is started where there is none, and the MCP library is loaded meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Final

from microclaw.errors import ProtocolError
from microclaw.mcp.server.shared_host import SharedHost

if TYPE_CHECKING:
    from anyio.abc import ObjectReceiveStream, ObjectSendStream
    from mcp.shared.message import SessionMessage

FLUSH_S: Final = 1.0
MAX_LINE_BYTES: Final = 4 << 20
QUEUE: Final = 64  # messages that wait to be read or written; then whoever sends waits
ROOM_S: Final = 0.005  # how often it looks for room in a full queue
_log = logging.getLogger(__name__)


def serve_stdio(home: Path, control_socket: Path, *, every_tool: bool = False) -> None:
    """Serve until the client closes stdin, or SIGTERM or SIGINT comes."""
    stdio = StdioLines()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="microclaw mcp: %(message)s")
    # The library leaves what it was about to queue when its client goes away; Python would say so on stderr.
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited", category=RuntimeWarning)
    logging.getLogger("mcp").setLevel(logging.ERROR)  # its warning for each open request fills a stderr nobody reads
    try:
        with SharedHost(home, control_socket) as shared_host:
            asyncio.run(_serve(stdio, shared_host, control_socket, every_tool))
    except* BrokenPipeError:
        pass  # the client is gone
    finally:
        stdio.flush(FLUSH_S)


async def _serve(stdio: StdioLines, shared_host: SharedHost, control_socket: Path, every_tool: bool) -> None:
    serving = asyncio.current_task()
    assert serving is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, serving.cancel)
    import anyio

    from microclaw.mcp.server.handlers import mcp_server
    from microclaw.mcp.server.service import LentBoard, LocalService
    from microclaw.operations.client import AsyncClient

    sending, received = anyio.create_memory_object_stream["SessionMessage | Exception"](1)
    send, outgoing = anyio.create_memory_object_stream["SessionMessage"](1)
    try:
        host = AsyncClient(control_socket, attach=shared_host.ready)
        async with (
            LentBoard(AsyncClient(control_socket)) as lent,
            mcp_server(LocalService(shared_host, host, lent), every_tool=every_tool) as server,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(_read(stdio, sending), name="read requests")
            group.create_task(_write(stdio, outgoing), name="write answers")
            await server.run(received, send, server.create_initialization_options())
    except* asyncio.CancelledError:
        pass  # a signal: as good as the client's end
    except* anyio.BrokenResourceError:
        if not serving.cancelling() and not stdio.broken:  # the library's own, when it ends with requests on their way
            raise


async def _read(stdio: StdioLines, sending: ObjectSendStream[SessionMessage | Exception]) -> None:
    import mcp_types as types
    from anyio import BrokenResourceError
    from mcp.shared.message import SessionMessage

    async with sending:
        try:
            async for line in stdio.lines():
                try:
                    message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError as exc:
                    await stdio.send(_parse_error(line))
                    _log.warning("a line that is no message: %s", str(exc).splitlines()[0][:200])
                    continue
                await sending.send(SessionMessage(message))
        except ProtocolError as exc:
            _log.error("%s; the connection ends", exc.message)
        except BrokenResourceError:
            pass  # the server has ended


async def _write(stdio: StdioLines, outgoing: ObjectReceiveStream[SessionMessage]) -> None:
    async with outgoing:
        async for item in outgoing:
            await stdio.send(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")


def _parse_error(line: bytes) -> bytes:
    try:
        json.loads(line)
        code, text = -32600, "this is JSON, but no JSON-RPC message"
    except (ValueError, RecursionError):
        code, text = -32700, "this line is not JSON"
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": text}}
    return json.dumps(error, separators=(",", ":")).encode() + b"\n"


class StdioLines:
    """This process's stdin and stdout as lines of the protocol: nothing else can print there.

    Daemon threads do the blocking reads and writes, so that files, pipes and terminals all work.
    """

    def __init__(self) -> None:
        """Take fds 0 and 1: what prints to stdout from now on lands on stderr, who reads stdin finds its end."""
        self._input = os.fdopen(os.dup(0), "rb")
        self._output = os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        self._out: Queue[bytes | None] = Queue(QUEUE)
        self._writer: threading.Thread | None = None
        self._broken = threading.Event()

    @property
    def broken(self) -> bool:
        """Whether the client stopped reading."""
        return self._broken.is_set()

    async def lines(self) -> AsyncIterator[bytes]:
        """What comes until the client closes its end. ProtocolError for a line over the limit."""
        found: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read_all, args=(loop, found), name="stdin", daemon=True).start()
        while line := await found.get():
            if len(line) > MAX_LINE_BYTES:
                raise ProtocolError(f"the client sent a line of more than {MAX_LINE_BYTES:,} bytes")
            yield line

    async def send(self, line: bytes) -> None:
        """Write a line; returns once it has its place in the queue. BrokenPipeError when nobody reads any more."""
        if self._broken.is_set():
            raise BrokenPipeError
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_all, name="stdout", daemon=True)
            self._writer.start()
        while self._out.full():  # noqa: ASYNC110  a thread empties it, and one that waited could not be cancelled
            await asyncio.sleep(ROOM_S)
        self._out.put_nowait(line)

    def flush(self, wait_s: float) -> None:
        """Let the writer end, for at most `wait_s`."""
        if self._writer is not None and not self._out.full():
            self._out.put_nowait(None)
            self._writer.join(wait_s)

    def _read_all(self, loop: asyncio.AbstractEventLoop, found: asyncio.Queue[bytes]) -> None:
        with suppress(RuntimeError, CancelledError):  # the loop is closed: nobody reads any more
            line = b"\n"
            while line:
                line = self._input.readline(MAX_LINE_BYTES + 1)
                asyncio.run_coroutine_threadsafe(found.put(line), loop).result()

    def _write_all(self) -> None:
        while (line := self._out.get()) is not None:
            try:
                view = memoryview(b"" if self._broken.is_set() else line)
                while view:
                    view = view[os.write(self._output, view) :]
            except OSError:
                self._broken.set()
