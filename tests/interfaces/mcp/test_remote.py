"""An MCP server at an address: the official server over real HTTP, with its headers and a bounded answer."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import mcp_types as types
import pytest
import uvicorn
from mcp.server.lowlevel import Server

from microclaw.errors import ToolFailed
from microclaw.host.config.settings import McpServerSettings
from microclaw.host.operations.tool import AnyArguments, ToolContext
from microclaw.interfaces.mcp.client.connection import ClientLimits, mcp_servers

QUICK = ClientLimits(list_s=20.0, call_s=20.0, first_pause_s=0.05, longest_pause_s=0.2)


async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
    tool = types.Tool(name="who", description="tells the header", input_schema={"type": "object"})
    return types.ListToolsResult(tools=[tool])


async def call_tool(context: Any, _: types.CallToolRequestParams) -> types.CallToolResult:
    text = context.request.headers.get("x-key", "nobody")
    if text == "huge":
        text = "x" * (2 << 20)
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


async def test_a_server_at_an_address_is_used_with_its_headers_and_no_proxy_to_this_machine() -> None:
    """An answer over a megabyte is not read whole."""
    listener = socket.socket()
    changed = asyncio.Event()
    context = ToolContext("owner", lambda _: None)
    listener.bind(("127.0.0.1", 0))
    far = Server[Any]("far", on_list_tools=list_tools, on_call_tool=call_tool)
    config = uvicorn.Config(far.streamable_http_app(), log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    at = [McpServerSettings(key, url=url, headers={"X-Key": key}) for key in ("k1", "huge")]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(server._serve(sockets=[listener]))
        async with mcp_servers(at, limits=QUICK, proxy="http://127.0.0.1:9", on_change=changed.set) as servers:
            while len(servers.tools()) < 3:  # with mcp-tool-help
                changed.clear()
                await changed.wait()
            tools = {tool.name: tool for tool in servers.tools()}
            assert "k1" in json.dumps((await tools["mcp_k1_who"].run(AnyArguments({}), context)).fields)
            with pytest.raises(ToolFailed):
                await tools["mcp_huge_who"].run(AnyArguments({}), context)
        server.should_exit = True
