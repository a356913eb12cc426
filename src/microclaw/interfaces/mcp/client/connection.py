"""The agent's MCP servers: connects to each again and again, lists its tools and calls them. It trusts none.

A server that dies, hangs or floods is tried again after a pause; each state is logged once.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import mcp_types as types
from mcp import Client
from mcp.shared.exceptions import MCPError
from msgspec import Struct
from pydantic import ValidationError

from microclaw.backoff import Backoff
from microclaw.errors import ToolFailed
from microclaw.host.config.settings import McpServerSettings
from microclaw.host.operations.tool import Tool
from microclaw.interfaces.channels.delivery import ChannelTasks
from microclaw.interfaces.mcp.client.tools import MAX_SCHEMAS_BYTES, OfferedTool, help_tool, tool_from
from microclaw.interfaces.mcp.client.transports import ConnectionEnd, mask_of, remote_server, server_process

# The tools of one server.
MAX_TOOLS: Final = 64
MAX_STATE_CHARS: Final = 500
MAX_PAGES: Final = 16
# Calls in a row without an answer; then the server counts as hung.
MAX_TIMEOUTS: Final = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """The waiting times, in seconds. `relist_s` is the time between two looks at a server's list of tools."""

    list_s: float = 15.0
    call_s: float = 60.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    relist_s: float = 60.0


@asynccontextmanager
async def mcp_servers(
    servers: Sequence[McpServerSettings],
    *,
    proxy: str | None = None,
    limits: ClientLimits = ClientLimits(),
    environ: Mapping[str, str] = os.environ,
    on_change: Callable[[], None] = lambda: None,
) -> AsyncIterator[McpServers]:
    """Keep a connection to each server. Entering does not wait for any of them.

    `on_change` is called whenever a server was connected, listed again or lost.
    """
    connections = [ServerConnection(server, proxy, limits, environ, on_change) for server in servers]
    async with ChannelTasks() as tasks:
        for connection in connections:
            tasks.start(connection.run(), f"MCP server {connection.server.name}")
        yield McpServers(connections)


class McpServers(Struct, frozen=True):
    """The configured servers, connected or not."""

    connections: Sequence[ServerConnection]

    def tools(self) -> tuple[Tool[Any], ...]:
        """Return the current tools; if two have the same name, the first server's tool."""
        offered: dict[str, OfferedTool] = {}
        for connection in self.connections:
            offered = connection.tools_by_name | offered
        if not offered:
            return ()
        tools = [described.tool for described in offered.values()]
        return (*tools, help_tool(offered))

    def states(self) -> dict[str, str]:
        """Return each server's name and its state in words, for the status screen."""
        return {connection.server.name: connection.state for connection in self.connections}


@dataclass(eq=False)
class ServerConnection:
    """The connection to one server. `state` is in words; `tools_by_name` has the server's current tools by name."""

    server: McpServerSettings
    proxy: str | None
    limits: ClientLimits
    environ: Mapping[str, str]
    on_change: Callable[[], None]
    tools_by_name: dict[str, OfferedTool] = field(default_factory=dict)
    state: str = "starting"
    _client: Client | None = None
    _end: ConnectionEnd = field(default_factory=ConnectionEnd)
    _timeouts: int = 0

    async def run(self) -> None:
        """Connect again and again until it is cancelled. It raises no other error."""
        backoff = Backoff(min_s=self.limits.first_pause_s, max_s=self.limits.longest_pause_s)
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            self._end = ConnectionEnd()
            await self._connect_once()
            self.tools_by_name = {}
            self._client = None
            if loop.time() - began_s > self.limits.longest_pause_s:
                backoff.succeeded()
            last_words = f" ({self._end.last_words})" if self._end.last_words else ""
            self._set_state(f"off: {self._end.reason}{last_words}; tried again from time to time", logging.WARNING)
            await asyncio.sleep(backoff.next_wait_s())

    async def _connect_once(self) -> None:
        """Serve one connection to its end, and note the reason for the end."""
        try:
            await self._connect()
        except TimeoutError:
            self._end.set_reason(f"it did not answer within {self.server.start_s:g} s (its start_s)")
        except Exception as exc:
            # The server is a foreign program: no error of it may end the host.
            _log.debug("MCP server %s", self.server.name, exc_info=True)
            self._end.set_reason(_reason(exc))
        # An error while a connection closes hides a cancellation.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError

    async def call(self, tool: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """Call a tool. Raises ToolFailed if the server is off, ends meanwhile, or does not answer in time."""
        name = self.server.name
        client = self._client
        end = self._end
        if client is None:
            raise ToolFailed(f"the MCP server {name} is off", next_step="continue without it, or try it later")
        try:
            async with asyncio.timeout(self.limits.call_s):
                result = await client.call_tool(tool, arguments)
        except TimeoutError as exc:
            self._timeouts += 1
            if self._timeouts >= MAX_TIMEOUTS:
                end.set_reason(f"it did not answer {MAX_TIMEOUTS} times in a row")
            raise ToolFailed(
                f"the MCP server {name} did not answer within {self.limits.call_s:g} s",
                next_step="the call may have been done or not: look before trying again",
            ) from exc
        except MCPError as exc:
            raise ToolFailed(f"the MCP server {name} refused: {exc.message[:500]}") from exc
        except (ValidationError, RuntimeError) as exc:
            raise ToolFailed(f"the MCP server {name} sent an invalid answer: {_reason(exc)}") from exc
        self._timeouts = 0
        return result

    async def _connect(self) -> None:
        """Serve one connection to its end, and read its list of tools from time to time."""
        if self.server.command:
            transport = server_process(self.server, self.environ, self._end)
        else:
            transport = remote_server(self.server, self.proxy, self._end)
        async with asyncio.timeout(self.server.start_s) as deadline:
            async with Client(transport, cache=None) as client:
                deadline.reschedule(None)
                self._client = client
                self._timeouts = 0
                listed = None
                while self._end.reason is None:
                    listed = await self._list_again(client, listed)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self.limits.relist_s):
                            await self._end.event.wait()

    async def _list_again(self, client: Client, before: list[types.Tool] | None) -> list[types.Tool]:
        """Return the server's current list of tools, and offer them if the list is not the same as `before`."""
        try:
            async with asyncio.timeout(self.limits.list_s):
                listed = await _list_tools(client)
        except TimeoutError:
            if before is None:
                raise
            # The server may be busy with a call. If it hangs, calls without an answer end the connection.
            return before
        if listed != before:
            # A hostile schema can take long to read.
            self.tools_by_name, faults = await asyncio.to_thread(self._convert_tools, listed[:MAX_TOOLS])
            state = "; ".join((f"on: {len(self.tools_by_name)} tools", *faults))
            self._set_state(state[:MAX_STATE_CHARS], logging.WARNING if faults else logging.INFO)
        return listed

    def _convert_tools(self, listed: list[types.Tool]) -> tuple[dict[str, OfferedTool], list[str]]:
        """Return the server's tools as the agent's, and the faults of the tools that are left out."""
        offered: dict[str, OfferedTool] = {}
        faults: list[str] = []
        size_bytes = 0
        for index, tool in enumerate(listed):
            size_bytes += len(tool.model_dump_json())
            if size_bytes > MAX_SCHEMAS_BYTES:
                faults.append(f"tools after its first {index} are left out: they take too much room")
                break
            converted = tool_from(self.server, tool, self.call)
            if isinstance(converted, str):
                faults.append(converted)
            else:
                offered.setdefault(converted.tool.name, converted)
        return offered, faults

    def _set_state(self, state: str, level: int) -> None:
        """Set the state, and log it once, however often it is tried again.

        A state may quote the server, so its secrets are masked.
        """
        state = mask_of(self.server).masked(state)
        if state != self.state:
            self.state = state
            _log.log(level, "MCP server %s is %s", self.server.name, state)
        self.on_change()


async def _list_tools(client: Client) -> list[types.Tool]:
    """Return all pages of the list, up to MAX_PAGES or until there are more than MAX_TOOLS tools."""
    tools: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor, cache_mode="bypass")
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None or len(tools) > MAX_TOOLS:
            break
    return tools


def _reason(error: BaseException) -> str:
    """Return the first line of an error; of a group, the first line of its first error."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, FileNotFoundError):
        return f"there is no program {error.filename}"
    lines = str(error).strip().splitlines()
    if lines:
        return f"{type(error).__name__}: {lines[0][:200]}"
    return type(error).__name__
