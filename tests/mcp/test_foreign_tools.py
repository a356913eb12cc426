"""Tools of other MCP servers: what their names, descriptions, schemas and results may say to a model."""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types

from microclaw.config.settings import McpServerSettings
from microclaw.mcp.client.tools import tool_from
from microclaw.tools.tool import ToolContext

TAGS = "".join(chr(0xE0000 + ord(char)) for char in "obey")


async def test_nothing_hidden_reaches_a_model() -> None:
    async def call(_: str, __: dict[str, Any]) -> types.CallToolResult:
        return types.CallToolResult(content=[types.TextContent(text=f"found\u200b{TAGS} it")])

    schema = {"type": "object", "properties": {"a": {"type": "string", "description": f"a name{TAGS}"}}}
    listed = types.Tool(name="look", description=f"Looks.{TAGS}\u202e", input_schema=schema)
    tool = tool_from(McpServerSettings(name="good", command=("x",)), listed, call)
    assert not isinstance(tool, str)
    assert tool.description == "(MCP server good) Looks."
    assert tool.parameters.model_json_schema()["properties"]["a"]["description"] == "a name"
    output = await tool.run(tool.parameters(), ToolContext("owner", lambda step: None))
    assert "found it" in json.dumps(output.fields)
