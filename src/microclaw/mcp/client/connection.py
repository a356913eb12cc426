"""The agent's MCP servers: connects to each, again and again, lists its tools and calls them. It trusts none.

One that dies, hangs or floods is left alone for a while, then tried again; each state is logged once.
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
from mcp.shared.exceptions import MCPError
from msgspec import Struct
from pydantic import ValidationError

from mcp import Client
from microclaw.backoff import Backoff
from microclaw.channels.delivery import ChannelTasks
from microclaw.config.settings import McpServerSettings
from microclaw.errors import ToolFailed
from microclaw.mcp.client.tools import MAX_SCHEMAS_BYTES, OfferedTool, help_tool, tool_from
from microclaw.mcp.client.transports import ConnectionEnd, mask_of, remote_server, server_process
from microclaw.operations.tool import Tool

MAX_TOOLS: Final = 64  # of one server
MAX_STATE_CHARS: Final = 500
MAX_PAGES: Final = 16
MAX_TIMEOUTS: Final = 2  # in a row; then it is taken for hung
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    list_s: float = 15.0
    call_s: float = 60.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    relist_s: float = 60.0  # between two looks at a server's list of tools


@asynccontextmanager
async def mcp_servers(
    servers: Sequence[McpServerSettings],
    *,
    proxy: str | None = None,
    limits: ClientLimits = ClientLimits(),
    environ: Mapping[str, str] = os.environ,
    on_change: Callable[[], None] = lambda: None,
) -> AsyncIterator[McpServers]:
    """Keep a connection to each; entering waits for none of them.

    `on_change` is called whenever one was connected, listed again or lost.
    """
    connections = [ServerConnection(one, proxy, limits, environ, on_change) for one in servers]
    async with ChannelTasks() as tasks:
        for one in connections:
            tasks.start(one.run(), f"MCP server {one.server.name}")
        yield McpServers(connections)


class McpServers(Struct, frozen=True):
    connections: Sequence[ServerConnection]

    def tools(self) -> tuple[Tool[Any], ...]:
        """The tools of now; of two with one name the first server's counts."""
        found: dict[str, OfferedTool] = {}
        for connection in self.connections:
            found = connection.offered | found
        if found:
            return (*(one.tool for one in found.values()), help_tool(found))
        return ()

    def states(self) -> dict[str, str]:
        """Each server's name and its state in words, for the status screen."""
        return {one.server.name: one.state for one in self.connections}


@dataclass(eq=False)
class ServerConnection:
    """`run` never ends by itself and raises nothing. `state` is in words; `offered` has its tools of now, by name."""

    server: McpServerSettings
    proxy: str | None
    limits: ClientLimits
    environ: Mapping[str, str]
    on_change: Callable[[], None]
    offered: dict[str, OfferedTool] = field(default_factory=dict)
    state: str = "starting"
    _client: Client | None = None
    _end: ConnectionEnd = field(default_factory=ConnectionEnd)
    _timeouts: int = 0

    async def run(self) -> None:
        backoff = Backoff(min_s=self.limits.first_pause_s, max_s=self.limits.longest_pause_s)
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        while True:
            began_s = loop.time()
            self._end = ConnectionEnd()
            try:
                await self._connect()
            except TimeoutError:
                self._end.because(f"it did not answer within {self.server.start_s:g} s (its start_s)")
            except Exception as exc:  # somebody else's program: whatever it does, the host goes on
                _log.debug("MCP server %s", self.server.name, exc_info=True)
                self._end.because(_reason(exc))
            if task is not None and task.cancelling():  # an error while a connection was closed hid the cancellation
                raise asyncio.CancelledError
            self.offered = {}
            self._client = None
            if loop.time() - began_s > self.limits.longest_pause_s:
                backoff.succeeded()
            if self._end.last_words:
                last_words = f" ({self._end.last_words})"
            else:
                last_words = ""
            self._say(f"off: {self._end.reason}{last_words}; tried again from time to time", logging.WARNING)
            await asyncio.sleep(backoff.next_wait_s())

    async def call(self, tool: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """ToolFailed when the server is off, ends meanwhile, or does not answer in time."""
        name = self.server.name
        client = self._client
        end = self._end
        if client is None:
            raise ToolFailed(f"the MCP server {name} is off", next_step="go on without it, or try it later")
        try:
            async with asyncio.timeout(self.limits.call_s):
                result = await client.call_tool(tool, arguments)
        except TimeoutError as exc:
            self._timeouts += 1
            if self._timeouts >= MAX_TIMEOUTS:
                end.because(f"it did not answer {MAX_TIMEOUTS} times in a row")
            raise ToolFailed(
                f"the MCP server {name} did not answer within {self.limits.call_s:g} s",
                next_step="nobody knows whether it was done: look before trying again",
            ) from exc
        except MCPError as exc:
            raise ToolFailed(f"the MCP server {name} refused: {exc.message[:500]}") from exc
        except (ValidationError, RuntimeError) as exc:
            raise ToolFailed(f"the MCP server {name} gave an answer that is none: {_reason(exc)}") from exc
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
                    listed = await self._relist(client, listed)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self.limits.relist_s):
                            await self._end.event.wait()

    async def _relist(self, client: Client, before: list[types.Tool] | None) -> list[types.Tool]:
        """Its list of tools of now, which is offered if it is another than `before`."""
        listed: list[types.Tool] = []
        cursor: str | None = None
        try:
            async with asyncio.timeout(self.limits.list_s):
                for _ in range(MAX_PAGES):
                    page = await client.list_tools(cursor=cursor, cache_mode="bypass")
                    listed += page.tools
                    cursor = page.next_cursor
                    if cursor is None or len(listed) > MAX_TOOLS:
                        break
        except TimeoutError:
            if before is None:
                raise
            return before  # it may be at a call; calls without an answer end it
        if listed != before:
            self.offered, wrong = await asyncio.to_thread(self._made, listed[:MAX_TOOLS])  # hostile schemas take time
            text = "; ".join((f"on: {len(self.offered)} tools", *wrong))
            self._say(text[:MAX_STATE_CHARS], logging.WARNING if wrong else logging.INFO)
        return listed

    def _made(self, listed: list[types.Tool]) -> tuple[dict[str, OfferedTool], list[str]]:
        """Its tools as the agent's, and what is wrong with the others."""
        found: dict[str, OfferedTool] = {}
        wrong: list[str] = []
        size_bytes = 0
        for number, tool in enumerate(listed):
            size_bytes += len(tool.model_dump_json())
            if size_bytes > MAX_SCHEMAS_BYTES:
                return found, [*wrong, f"tools after its first {number} are left out: they take too much room"]
            made = tool_from(self.server, tool, self.call)
            if isinstance(made, str):
                wrong.append(made)
            else:
                found.setdefault(made.tool.name, made)
        return found, wrong

    def _say(self, state: str, level: int) -> None:
        """A state is logged once, however often it is tried again. It may quote the server: its secrets are masked."""
        state = mask_of(self.server).masked(state)
        if state != self.state:
            self.state = state
            _log.log(level, "MCP server %s is %s", self.server.name, state)
        self.on_change()


def _reason(error: BaseException) -> str:
    """The first line of an error, of a group the first one's."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, FileNotFoundError):
        return f"there is no program {error.filename}"
    text = str(error).strip().splitlines()
    if text:
        return f"{type(error).__name__}: {text[0][:200]}"
    return type(error).__name__
