"""The MCP server over the host's tools: lists and calls them, shows pin timelines. It has no tool and no transport."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from microclaw.errors import MicroclawError
from microclaw.mcp.calls import HostCalls
from microclaw.mcp.desk import Desk, Visit
from microclaw.mcp.following import Follower, Teller
from microclaw.mcp.identity import INSTRUCTIONS, NAME, TITLE, VERSION
from microclaw.mcp.resources import TEMPLATES, list_resources, read_resource, trial_link
from microclaw.mcp.tool_forms import offered, tools_from
from microclaw.mcp.trials import Trials

Context = ServerRequestContext[Any, Any]


@asynccontextmanager
async def mcp_server(desk: Desk, *, every_tool: bool = False) -> AsyncIterator[Server[Any]]:
    """A server whose requests go to the host through `desk`; leaving ends the calls that still run."""
    async with HostCalls() as calls:
        yield _Handlers(desk, calls, Trials(), every_tool).server()


@dataclass(frozen=True, slots=True)
class _Handlers:
    desk: Desk
    calls: HostCalls
    trials: Trials
    every_tool: bool

    def server(self) -> Server[Any]:
        server: Server[Any] = Server(
            NAME,
            version=VERSION,
            title=TITLE,
            instructions=INSTRUCTIONS,
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_list_resources=self.list_resources,
            on_list_resource_templates=self.list_templates,
            on_read_resource=self.read_resource,
        )
        server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, _set_level)
        return server

    async def list_tools(self, context: Context, _: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        visit = await self._visit(context)
        return types.ListToolsResult(tools=await self._tools(visit))

    async def call_tool(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        teller = Teller(context)
        try:
            if not offered(params.name, every=self.every_tool):
                raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name[:80]!r}; tools/list has them")
            async with teller.telling("the host is starting"):
                visit = await self.desk.visit(context)
            result = await Follower(context, self.calls, visit, teller).follow(params)
        except MicroclawError as exc:
            return _failed(exc.message, exc.next_step)
        return result if isinstance(result, types.InputRequiredResult) else self._result(visit, params.name, result)

    async def list_resources(
        self, context: Context, _: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        visit = await self._visit(context)
        try:
            return types.ListResourcesResult(resources=await list_resources(visit, self.trials))
        except MicroclawError as exc:
            raise _error(exc) from exc

    async def list_templates(
        self, _: Context, __: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=list(TEMPLATES))

    async def read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        visit = await self._visit(context)
        try:
            content = await read_resource(visit, self.trials, str(params.uri))
        except MicroclawError as exc:
            raise _error(exc, types.INVALID_PARAMS) from exc
        return types.ReadResourceResult(contents=[content])

    async def _visit(self, context: Context) -> Visit:
        try:
            return await self.desk.visit(context)
        except MicroclawError as exc:
            raise _error(exc) from exc

    async def _tools(self, visit: Visit) -> list[types.Tool]:
        try:
            listed = await visit.bridge.get("/v1/tools")
        except MicroclawError as exc:
            raise _error(exc) from exc
        return tools_from(listed["tools"], every=self.every_tool)

    def _result(self, visit: Visit, tool: str, result: dict[str, Any]) -> types.CallToolResult:
        content = dict(result["content"])
        if not result["ok"]:
            message = str(content.get("message") or content.get("error") or "it failed")
            return _failed(message, result["next"], content.get("diagnostics", ()))
        blocks: list[types.ContentBlock] = [types.TextContent(type="text", text=_dump(content))]
        trial_id = self.trials.keep(visit.owner, tool, result)
        if trial_id is not None:
            blocks.append(trial_link(trial_id))
        return types.CallToolResult(content=blocks, structured_content={**content, "evidence": result["evidence"]})


async def _set_level(_: Context, __: types.SetLevelRequestParams) -> types.EmptyResult:
    """Only what a person must know is logged, at `notice`; there is nothing to leave out."""
    return types.EmptyResult()


def _failed(message: str, next_step: str | None, diagnostics: Any = ()) -> types.CallToolResult:
    """What went wrong and what to do about it, as text that a model reads."""
    lines = [str(text) for text in diagnostics]
    if not any(text.startswith(message) for text in lines):
        lines.insert(0, message)
    if next_step:
        lines.append(f"next: {next_step}")
    return types.CallToolResult(content=[types.TextContent(type="text", text="\n".join(lines))], is_error=True)


def _error(error: MicroclawError, code: int = types.INTERNAL_ERROR) -> MCPError:
    return MCPError(code, error.message if not error.next_step else f"{error.message} (next: {error.next_step})")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
