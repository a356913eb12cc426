"""The agent's MCP servers: keeps a connection to each and offers their tools. One that fails never stops the host.

A server that dies, hangs or floods is left alone for a while, then tried again; each state is logged once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from microclaw.config.settings import McpServerSettings

if TYPE_CHECKING:
    from microclaw.mcp.client.connection import ServerConnection
    from microclaw.mcp.client.tools import OfferedTool
    from microclaw.operations.tool import Tool

NOT_YET: Final = "not connected yet"


@dataclass(frozen=True, slots=True)
class ClientLimits:
    connect_s: float = 15.0
    call_s: float = 60.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    relist_s: float = 60.0  # between two looks at a server's list of tools


class McpServers:
    """`async with McpServers(settings.mcp_servers) as servers: servers.tools()`; entering waits for none of them.

    `on_change` is called whenever one was connected, listed again or lost.
    """

    def __init__(
        self,
        servers: Sequence[McpServerSettings],
        *,
        proxy: str | None = None,
        limits: ClientLimits = ClientLimits(),
        environ: Mapping[str, str] = os.environ,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._servers = servers
        self._options = (proxy, limits, environ, on_change)
        self._connections: dict[str, ServerConnection] = {}
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> McpServers:
        await self._group.__aenter__()
        self._tasks = [self._group.create_task(self._run(one), name=f"MCP server {one.name}") for one in self._servers]
        return self

    async def __aexit__(self, *_: Any) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    async def _run(self, server: McpServerSettings) -> None:
        module = await asyncio.to_thread(import_module, "microclaw.mcp.client.connection")  # with the library
        self._connections[server.name] = module.ServerConnection(server, *self._options)
        await self._connections[server.name].run()

    def tools(self) -> tuple[Tool[Any], ...]:
        """The tools of now; of two with one name the first server's counts."""
        found: dict[str, OfferedTool] = {}
        for server in self._servers:
            if (connection := self._connections.get(server.name)) is not None:
                found = connection.offered | found
        if not found:
            return ()
        from microclaw.mcp.client.tools import help_tool

        return (*(one.tool for one in found.values()), help_tool(found))

    def states(self) -> dict[str, str]:
        """Each server's name and its state in words."""
        known = self._connections
        return {one.name: known[one.name].state if one.name in known else NOT_YET for one in self._servers}
