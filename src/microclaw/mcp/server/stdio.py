"""`microclaw mcp`: one MCP client on stdin and stdout. It ends with the client.

A host is started where there is none, and the MCP library is loaded meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import warnings
from pathlib import Path

from microclaw.mcp.server.shared_host import SharedHost

_log = logging.getLogger(__name__)


def serve_stdio(home: Path, control_socket: Path, *, every_tool: bool = False) -> None:
    """Serve until the client closes stdin or stdout, or a signal comes; then this process has ended."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="microclaw mcp: %(message)s")
    # The library leaves what it was about to queue when its client goes away; Python would say so on stderr.
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited", category=RuntimeWarning)
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # what it says of each request fills a stderr nobody reads
    with SharedHost(home, control_socket) as shared_host:
        code = asyncio.run(_serve(shared_host, control_socket, every_tool))
    sys.exit(code)


async def _serve(shared_host: SharedHost, control_socket: Path, every_tool: bool) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    from mcp.server.stdio import stdio_server

    from microclaw.mcp.server.handlers import mcp_server
    from microclaw.mcp.server.service import LentBoard, LocalService
    from microclaw.operations.client import AsyncClient

    host = AsyncClient(control_socket, attach=shared_host.ready)
    async with (
        LentBoard(AsyncClient(control_socket)) as lent,
        mcp_server(LocalService(shared_host, host, lent), every_tool=every_tool) as server,
    ):

        async def serve() -> None:
            async with stdio_server() as (read, write):
                await server.run(read, write, server.create_initialization_options())

        serving = asyncio.create_task(serve(), name="serve stdio")
        signalled = asyncio.create_task(stopped.wait(), name="wait for a signal")
        await asyncio.wait((serving, signalled), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        signalled.cancel()
        return _code_of(serving.exception())
    os._exit(0)  # a thread may read stdin or write stdout for ever


def _code_of(error: BaseException | None) -> int:
    """0 as well where the client has gone in the middle of an answer."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is None or isinstance(error, BrokenPipeError):
        return 0
    _log.error("%s: %s", type(error).__name__, error)
    return 1
