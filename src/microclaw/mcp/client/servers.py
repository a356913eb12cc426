"""The agent's MCP servers: connects to each, keeps it connected, offers its tools. One that fails never stops the host.

A server that dies, hangs or floods is left alone for a while, then tried again; each state is logged once.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from microclaw.backoff import Backoff
from microclaw.config.settings import McpServerSettings
from microclaw.errors import ToolFailed

if TYPE_CHECKING:
    import mcp_types as types

    from mcp import Client
    from microclaw.mcp.client.tools import ToolDescription
    from microclaw.mcp.client.transports import ConnectionEnd
    from microclaw.operations.tool import Tool

MAX_TOOLS: Final = 64  # of one server
MAX_COMPLAINTS: Final = 64  # about one server's tools, as long as the host runs
MAX_PAGES: Final = 16
MAX_TIMEOUTS: Final = 2  # in a row; then it is taken for hung
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    connect_s: float = 15.0
    call_s: float = 60.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    relist_pause_s: float = 1.0  # a list that changes all the time is read once in so long


class McpServers:
    """`async with McpServers(settings.mcp_servers) as servers: servers.tools()`; entering waits for none of them.

    `on_change` is called whenever one was connected, listed anew or lost.
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
        self._connections = [ServerConnection(server, proxy, limits, environ, on_change) for server in servers]
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> McpServers:
        await self._group.__aenter__()
        self._tasks = [
            self._group.create_task(connection.run(), name=f"MCP server {connection.name}")
            for connection in self._connections
        ]
        return self

    async def __aexit__(self, *_: Any) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    def tools(self) -> tuple[Tool[Any], ...]:
        """What is offered now; of two tools with one name the first server's counts."""
        found: dict[str, Tool[Any]] = {}
        for connection in self._connections:
            for tool in connection.tools:
                found.setdefault(tool.name, tool)
        return (*found.values(), self._help_tool()) if found else ()

    def _help_tool(self) -> Tool[Any]:
        from microclaw.mcp.client.tools import help_tool

        first_counts = reversed(self._connections)
        return help_tool({name: about for one in first_counts for name, about in one.described.items()})

    def states(self) -> dict[str, str]:
        """Each server's name and its state in words."""
        return {connection.name: connection.state for connection in self._connections}


class ServerConnection:
    """One server. `run` never ends by itself and raises nothing."""

    def __init__(
        self,
        server: McpServerSettings,
        proxy: str | None,
        limits: ClientLimits,
        environ: Mapping[str, str],
        on_change: Callable[[], None],
    ) -> None:
        self.name = server.name
        self.tools: tuple[Tool[Any], ...] = ()
        self.described: Mapping[str, ToolDescription] = {}
        self.state = "not connected yet"
        self._server = server
        self._proxy = proxy
        self._limits = limits
        self._environ = environ
        self._on_change = on_change
        self._client: Client | None = None
        self._closed: ConnectionEnd | None = None
        self._changed = asyncio.Event()
        self._timeouts = 0
        self._checked: dict[str, Tool[Any] | str] = {}
        self._complaints: set[str] = set()

    async def run(self) -> None:
        backoff = Backoff(min_s=self._limits.first_pause_s, max_s=self._limits.longest_pause_s)
        while True:
            began = asyncio.get_running_loop().time()
            reason = await self._connected()
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # an error while a connection was closed hid the cancellation
                raise asyncio.CancelledError
            self.tools, self.described, self._client = (), {}, None
            if asyncio.get_running_loop().time() - began > self._limits.longest_pause_s:
                backoff.succeeded()
            self._say(f"off: {reason}; tried again from time to time", logging.WARNING)
            await asyncio.sleep(backoff.next_wait_s())

    async def call(self, tool: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """ToolFailed when the server is off, ends meanwhile, or does not answer in time."""
        from mcp.shared.exceptions import MCPError
        from mcp_types import CONNECTION_CLOSED
        from pydantic import ValidationError

        client, closed = self._client, self._closed
        if client is None or closed is None:
            raise ToolFailed(f"the MCP server {self.name} is off", next_step="go on without it, or try it later")
        try:
            async with asyncio.timeout(self._limits.call_s):
                result = await client.call_tool(tool, arguments)
        except TimeoutError as exc:
            self._timeouts += 1
            if self._timeouts >= MAX_TIMEOUTS:
                closed.because(f"it did not answer {MAX_TIMEOUTS} times in a row")
            raise ToolFailed(
                f"the MCP server {self.name} did not answer within {self._limits.call_s:g} s",
                next_step="nobody knows whether it was done: look before trying again",
            ) from exc
        except MCPError as exc:
            if exc.code == CONNECTION_CLOSED:
                closed.because("its connection ended")
            raise ToolFailed(f"the MCP server {self.name} refused: {exc.message[:500]}") from exc
        except (ValidationError, RuntimeError) as exc:
            raise ToolFailed(f"the MCP server {self.name} gave an answer that is none: {_first_line(exc)}") from exc
        self._timeouts = 0
        return result

    async def _connected(self) -> str:
        """Serve one connection to its end; returns the reason."""
        from microclaw.mcp.client.transports import ConnectionEnd

        closed = ConnectionEnd()
        try:
            async with self._open(closed) as client:
                self._client, self._closed, self._timeouts = client, closed, 0
                await self._relist(client)
                await self._look_after(client, closed)
        except TimeoutError:
            closed.because(f"it did not answer within {self._limits.connect_s:g} s")
        except Exception as exc:  # somebody else's program: whatever it does, the host goes on
            _log.debug("MCP server %s", self.name, exc_info=True)
            closed.because(_reason(exc))
        return closed.reason

    async def _look_after(self, client: Client, closed: ConnectionEnd) -> None:
        """Read its list again whenever that changes, until the connection ends."""
        end = asyncio.create_task(closed.wait(), name=f"end of {self.name}")
        watch = asyncio.create_task(self._watch(client), name=f"changes of {self.name}")
        change = asyncio.create_task(self._changed.wait(), name=f"change of {self.name}")
        try:
            while not end.done():
                await asyncio.wait((end, change), return_when=asyncio.FIRST_COMPLETED)
                if not end.done():
                    self._changed.clear()
                    change = asyncio.create_task(self._changed.wait(), name=f"change of {self.name}")
                    await self._relist(client)
                    await asyncio.wait((end,), timeout=self._limits.relist_pause_s)
        finally:
            for task in (end, watch, change):
                task.cancel()
            await asyncio.gather(end, watch, change, return_exceptions=True)

    async def _watch(self, client: Client) -> None:
        """The newest protocol tells changes on a stream that is asked for; older ones by themselves."""
        from mcp.client.subscriptions import ListenNotSupportedError

        tools = client.server_capabilities.tools
        if tools is None or not tools.list_changed:
            return
        try:
            async with client.listen(tools_list_changed=True) as events:
                self._changed.set()  # no event comes for earlier changes
                async for _ in events:
                    self._changed.set()
        except ListenNotSupportedError:
            return

    async def _relist(self, client: Client) -> None:
        listed: list[types.Tool] = []
        cursor: str | None = None
        async with asyncio.timeout(self._limits.connect_s):
            for _ in range(MAX_PAGES):
                page = await client.list_tools(cursor=cursor, cache_mode="bypass")
                listed += page.tools
                cursor = page.next_cursor
                if cursor is None or len(listed) > MAX_TOOLS:
                    break
        made = await asyncio.to_thread(self._made, listed[:MAX_TOOLS])  # a hostile schema takes its time
        for wrong in (text for text in made if isinstance(text, str)):
            self._complain(wrong)
        self.tools = tuple(tool for tool in made if not isinstance(tool, str))
        self.described = self._descriptions(listed[:MAX_TOOLS])
        self._say(f"on: {len(self.tools)} tools", logging.INFO)

    def _made(self, listed: Sequence[types.Tool]) -> list[Tool[Any] | str]:
        """Each listed tool as the agent's, or what is wrong with it; one that did not change is not checked again."""
        from microclaw.mcp.client.tools import MAX_SCHEMAS_BYTES, tool_from

        found: dict[str, Tool[Any] | str] = {}
        size = 0
        for tool in listed:
            text = tool.model_dump_json()
            size += len(text)
            if size > MAX_SCHEMAS_BYTES:
                return [*found.values(), f"tools after its first {len(found)} are left out: they take too much room"]
            found[text] = self._checked.get(text) or tool_from(self._server, tool, self.call)
        self._checked = found
        return list(found.values())

    def _descriptions(self, listed: Sequence[types.Tool]) -> dict[str, ToolDescription]:
        from microclaw.mcp.client.tools import description_of, name_of

        names = {tool.name for tool in self.tools}
        found = {name_of(self.name, tool.name): tool for tool in listed}
        return {name: description_of(self._server, tool) for name, tool in found.items() if name in names}

    def _complain(self, wrong: str) -> None:
        """Log each problem once, and only as many as a person would read."""
        if wrong not in self._complaints and len(self._complaints) < MAX_COMPLAINTS:
            self._complaints.add(wrong)
            _log.warning("MCP server %s: %s", self.name, wrong)

    @asynccontextmanager
    async def _open(self, closed: ConnectionEnd) -> AsyncIterator[Client]:
        from mcp import Client

        async with asyncio.timeout(self._limits.connect_s) as deadline:
            transport = self._transport(closed)
            async with Client(transport, message_handler=self._hear, cache=None) as client:
                deadline.reschedule(None)
                yield client

    def _transport(self, closed: ConnectionEnd) -> Any:
        from microclaw.mcp.client.transports import child_environ, remote_server, server_process

        if self._server.command:
            return server_process(self._server.command, child_environ(self._environ, self._server.env), closed)
        return remote_server(self._server, self._proxy, closed)

    async def _hear(self, message: Any) -> None:
        import mcp_types as types

        if isinstance(message, types.ToolListChangedNotification):
            self._changed.set()

    def _say(self, state: str, level: int) -> None:
        """A state is logged once, however often it is tried again."""
        if state != self.state:
            self.state = state
            _log.log(level, "MCP server %s is %s", self.name, state)
        self._on_change()


def _reason(error: BaseException) -> str:
    """A group of exceptions as one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, FileNotFoundError):
        return f"there is no program {error.filename}"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
