"""The MCP server inside the host: at /mcp of the API for tokens, and on a socket for `microclaw mcp`. It has no tool.

The library is loaded at the first request: most hosts never see one.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.types import Receive, Scope, Send

from microclaw.interfaces.api.caller import LOCAL_OWNER
from microclaw.interfaces.api.server import unix_listener
from microclaw.interfaces.api.tool_routes import ToolService
from microclaw.interfaces.channels.delivery import ChannelTasks
from microclaw.interfaces.mcp.server.bridge import FULL, GREETING, MAX_SESSIONS, mcp_socket
from microclaw.interfaces.mcp.server.session import Session
from microclaw.programs.changes.device_operations import DeviceService

if TYPE_CHECKING:
    from microclaw.interfaces.mcp.server.host_server import HostServer

MAX_MESSAGE_BYTES: Final = 1 << 20
# The time for the client that started a host to connect.
FIRST_S: Final = 60.0
# An assistant that restarts its servers connects again at once.
GRACE_S: Final = 3.0


class McpService:
    """`async with service.serving()`; the service itself is the ASGI app of /mcp, behind the API's own checks.

    `when_unused` is called once no client of this machine has had a session for a while.
    """

    def __init__(
        self,
        tools: ToolService,
        devices: DeviceService,
        *,
        control_socket: Path,
        when_unused: Callable[[], object] | None = None,
    ) -> None:
        self._tools = tools
        self._devices = devices
        self._socket = mcp_socket(control_socket)
        self._when_unused = when_unused
        self._group = asyncio.TaskGroup()
        self._ending = asyncio.Event()
        self._loading = asyncio.Lock()
        self._server: HostServer | None = None
        # The sessions on the socket, how many of them are open, and the timer that runs when there are none.
        self._sessions = ChannelTasks()
        self._open = 0
        self._unused: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        with unix_listener(self._socket) as listener:
            async with self._group, self._sessions:
                server = await asyncio.start_unix_server(self._accept, sock=listener, limit=MAX_MESSAGE_BYTES)
                self._end_after(FIRST_S)
                try:
                    yield
                finally:
                    self._ending.set()
                    server.close()
                    if self._unused is not None:
                        self._unused.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._loaded()).over_http(scope, receive, send)

    async def _loaded(self) -> HostServer:
        async with self._loading:
            if self._server is None:
                module = await asyncio.to_thread(import_module, "microclaw.interfaces.mcp.server.host_server")
                server = module.HostServer(self._tools, self._devices)
                is_running = asyncio.Event()
                self._group.create_task(self._run(server, is_running), name="MCP over HTTP")
                await is_running.wait()
                self._server = server
            return self._server

    async def _run(self, server: HostServer, is_running: asyncio.Event) -> None:
        async with server.session_manager.run():
            is_running.set()
            await self._ending.wait()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_ending = self._ending.is_set()
        if is_ending or self._open >= MAX_SESSIONS:
            # Without a greeting the client waits for the end of this host and starts the next one.
            if not is_ending:
                writer.write(FULL)
            writer.close()
            return
        if self._unused is not None:
            self._unused.cancel()
        self._open += 1
        self._sessions.start(self._serve(reader, writer), "MCP session")

    def _end_after(self, wait_s: float) -> None:
        """End the host after `wait_s` seconds, if it runs only for these sessions."""
        if self._when_unused is not None:
            self._unused = asyncio.get_running_loop().call_later(wait_s, self._end, self._when_unused)

    def _end(self, when_unused: Callable[[], object]) -> None:
        # A client that connects from now on starts the next host.
        self._ending.set()
        when_unused()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one `microclaw mcp`: send the greeting, read its options in the first line, then handle messages."""
        try:
            writer.write(GREETING)
            options = json.loads(await reader.readline())
            session = Session(LOCAL_OWNER, f"mcp-{secrets.token_hex(4)}", bool(options["all_tools"]))
            server = await self._loaded()
            await server.over_lines(session, reader, writer)
        finally:
            writer.close()
            self._open -= 1
            if not self._open and not self._ending.is_set():
                self._end_after(GRACE_S)
