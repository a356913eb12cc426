"""An MCP server at an address: the official server over real HTTP, its headers, its end and its return."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import mcp_types as types
import pytest
import uvicorn
from mcp.server.lowlevel import Server

from microclaw.config.settings import McpServerSettings
from microclaw.errors import ToolFailed
from microclaw.mcp.client.connection import ClientLimits, mcp_servers
from microclaw.operations.tool import AnyArguments, ToolContext

TIMEOUT_S = 60.0
QUICK = ClientLimits(connect_s=20.0, call_s=20.0, first_pause_s=0.05, longest_pause_s=0.2)


async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
    tool = types.Tool(name="who", description="tells the header", input_schema={"type": "object"})
    return types.ListToolsResult(tools=[tool])


async def call_tool(context: Any, _: types.CallToolRequestParams) -> types.CallToolResult:
    text = context.request.headers.get("x-key", "nobody")
    if text == "huge":
        text = "x" * (2 << 20)
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


@asynccontextmanager
async def served(*, as_document: bool) -> AsyncIterator[int]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    app = Server[Any]("far", on_list_tools=list_tools, on_call_tool=call_tool).streamable_http_app(
        json_response=as_document
    )
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    async with asyncio.TaskGroup() as group:
        group.create_task(server._serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True


@pytest.mark.parametrize(("key", "as_document"), [("k1", False), ("huge", True), ("huge", False)])
async def test_a_server_at_an_address_is_used_with_its_headers_and_no_proxy_to_this_machine(
    key: str, as_document: bool
) -> None:
    """An answer over a megabyte is not read whole."""
    changed = asyncio.Event()
    async with served(as_document=as_document) as port, asyncio.timeout(TIMEOUT_S):
        far = McpServerSettings("far", url=f"http://127.0.0.1:{port}/mcp", headers={"X-Key": key})
        async with mcp_servers([far], limits=QUICK, proxy="http://127.0.0.1:9", on_change=changed.set) as servers:
            while not servers.tools():
                changed.clear()
                await changed.wait()
            tool, _ = servers.tools()  # and mcp-tool-help
            assert tool.name == "mcp_far_who"
            call = tool.run(AnyArguments({}), ToolContext("owner", lambda _: None))
            if key == "huge":
                with pytest.raises(ToolFailed):
                    await call
            else:
                assert "k1" in json.dumps((await call).fields)
