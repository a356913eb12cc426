"""The MCP server over the host's tools: lists and calls them, shows pin timelines. It has no tool and no transport."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from microclaw import __version__
from microclaw.api.tool_routes import ToolService
from microclaw.apps.device_operations import DeviceService
from microclaw.errors import MicroclawError
from microclaw.events import ApprovalAsked
from microclaw.mcp.server.calls import Calls, Context, where_to_decide
from microclaw.mcp.server.forms import offered, tool_from
from microclaw.mcp.server.hints import without_commands
from microclaw.mcp.server.prompts import PROMPTS, get_prompt
from microclaw.mcp.server.resources import TEMPLATES, Resources, file_links, trial_link
from microclaw.mcp.server.service import Session
from microclaw.operations.tool import Tool
from microclaw.tasks.operations import Tasks
from microclaw.wire.host_api import MAX_SHOWN_ARGUMENTS, Failure

R = TypeVar("R")
NAME: Final = "microclaw"
TITLE: Final = "microclaw: programs for ESP32-class boards"
INSTRUCTIONS: Final = (
    "Drives microcontroller boards through one microclaw host; without hardware there is a virtual board, virtual-1. "
    "Look first with list-devices and free-pins. gpio-set, pwm-set, adc-read and i2c-read act or read at once and "
    "leave nothing behind. For anything that repeats or reacts write a C program: try it with try-program (nothing on "
    "a device changes), then deploy-wasm-app puts it on the board, where it runs by itself. Each result has evidence: "
    "counted (edges at the pins), reported (the board's own words) or accepted (no read-back): claim no more than "
    "that. undo takes back what the newest request changed. Some acts wait for a person's yes: say so and wait. What "
    "belongs to a time of day is kept with schedule-add. "
    'A program is one C file: #include "microclaw.h", on_init opens pins, starts timers and returns: '
    "static int led; static void tick(void) { gpio_toggle(led); } "
    "void on_init(void) { led = gpio_open(2, GPIO_OUT); every(500, tick); } "
    "Every function is in the resource microclaw://headers/microclaw.h, whole programs are in microclaw://examples."
)


class Handlers:
    """`server(session_of)` answers with the host's tools, in the name of the session that `session_of` finds."""

    def __init__(self, tools: ToolService, devices: DeviceService, tasks: Tasks) -> None:
        self.calls = Calls(tools)
        self._tools = tools
        self._resources = Resources(devices, tasks)

    def server(self, session_of: Callable[[Context], Session]) -> Server[Any]:
        async def list_tools(context: Context, _: types.PaginatedRequestParams | None) -> types.ListToolsResult:
            return types.ListToolsResult(tools=[tool_from(tool) for tool in self._offered(session_of(context))])

        async def call_tool(
            context: Context, params: types.CallToolRequestParams
        ) -> types.CallToolResult | types.InputRequiredResult:
            return await self._call(context, session_of(context), params)

        async def list_resources(context: Context, _: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
            return types.ListResourcesResult(resources=await self._resources.listed(session_of(context)))

        async def read_resource(context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
            with _protocol_errors():
                content = await self._resources.read(session_of(context), str(params.uri))
            return types.ReadResourceResult(contents=[content])

        async def one_prompt(_: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
            with _protocol_errors():
                return get_prompt(params.name, params.arguments or {})

        return Server(
            NAME,
            version=__version__,
            title=TITLE,
            instructions=INSTRUCTIONS,
            on_list_tools=list_tools,
            on_call_tool=call_tool,
            on_list_resources=list_resources,
            on_list_resource_templates=_always(types.ListResourceTemplatesResult(resource_templates=list(TEMPLATES))),
            on_read_resource=read_resource,
            on_list_prompts=_always(types.ListPromptsResult(prompts=list(PROMPTS))),
            on_get_prompt=one_prompt,
        )

    def _offered(self, session: Session) -> list[Tool[Any]]:
        return offered(self._tools.offered, every=session.every_tool)

    async def _call(
        self, context: Context, session: Session, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        if all(tool.name != params.name for tool in self._offered(session)):
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name[:80]!r}; tools/list has them")
        try:
            result = await self.calls.follow(context, session, params)
        except MicroclawError as exc:
            return _failed(exc.message, exc.next_step)
        match result:
            case types.InputRequiredResult():
                return result
            case ApprovalAsked():
                return _waiting(result, params)
            case Failure(message=message, next_step=next_step):
                return _failed(message, next_step)
        return self._result(session, params.name, result)

    def _result(self, session: Session, tool: str, result: dict[str, Any]) -> types.CallToolResult:
        content = dict(result["content"])
        structured = {**content, "evidence": result["evidence"], "act": result["act"]}
        if not result["ok"]:
            message = str(content.get("message") or content.get("error") or "it failed")
            return _failed(message, result["next"], content.get("diagnostics", ()), structured)
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        blocks: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
        trial_id = self._resources.keep_trial(session, tool, result)
        if trial_id is not None:
            blocks.append(trial_link(trial_id))
        blocks += file_links(content)
        is_error = content.get("success") is False  # a trial that was run, and what it showed is wrong
        return types.CallToolResult(content=blocks, structured_content=structured, is_error=is_error)


def _always(answer: R) -> Callable[[Context, Any], Awaitable[R]]:
    async def given(_: Context, __: Any) -> R:
        return answer

    return given


def _failed(
    message: str, next_step: str | None, diagnostics: Any = (), structured: dict[str, Any] | None = None
) -> types.CallToolResult:
    """What went wrong and what to do about it, as text that a model reads."""
    lines = [str(text) for text in diagnostics]
    if not any(text.startswith(message) for text in lines):
        lines.insert(0, without_commands(message))
    if next_step:
        lines.append(f"next: {without_commands(next_step)}")
    text = types.TextContent(type="text", text="\n".join(lines))
    if structured is not None and next_step:
        structured = {**structured, "next": without_commands(next_step)}
    return types.CallToolResult(content=[text], structured_content=structured, is_error=True)


def _waiting(asked: ApprovalAsked, params: types.CallToolRequestParams) -> types.CallToolResult:
    """Neither done nor failed: it waits for a yes that this client cannot ask for."""
    message = (
        f"Not done yet, it waits for a yes: {asked.text}. Tell the person: {where_to_decide(asked)}. After a yes it is "
        "done by itself: do not call it again, look whether it happened."
    )
    approval = {
        "approval_id": asked.approval_id,
        "text": asked.text,
        "detail": list(asked.detail),
        "expires_s": asked.expires_s,
    }
    args = json.dumps(params.arguments or {})
    act = {
        "tool": params.name,
        "args": args if len(args) <= MAX_SHOWN_ARGUMENTS else f"{args[:MAX_SHOWN_ARGUMENTS]}...",
        "outcome": "waiting",
        "evidence": [],
        "reason": "it waits for a person's yes" if asked.may_decide else "it waits for an owner's yes",
    }
    content = {"success": False, "message": message, "approval": approval, "evidence": [], "act": act}
    return types.CallToolResult(content=[types.TextContent(type="text", text=message)], structured_content=content)


@contextmanager
def _protocol_errors() -> Iterator[None]:
    """The host's errors as the protocol's."""
    try:
        yield
    except MicroclawError as exc:
        text = exc.message if not exc.next_step else f"{exc.message} (next: {exc.next_step})"
        raise MCPError(types.INVALID_PARAMS, without_commands(text)) from exc
