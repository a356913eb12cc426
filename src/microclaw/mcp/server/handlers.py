"""The MCP server over the host's tools: lists and calls them, shows pin timelines. It has no tool and no transport."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from microclaw import __version__
from microclaw.errors import MicroclawError, UnknownName
from microclaw.mcp.server.calls import Context, Follower, HostCalls, Reporter, Waiting, where_to_decide
from microclaw.mcp.server.forms import offered, tools_from
from microclaw.mcp.server.prompts import get_prompt, list_prompts
from microclaw.mcp.server.resources import TEMPLATES, TrialStore, file_links, list_resources, read_resource, trial_link
from microclaw.mcp.server.service import Caller, Service
from microclaw.operations.connection import HostError
from microclaw.wire.host_api import MAX_SHOWN_ARGUMENTS

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
# An assistant may have a shell, and would run a command that it reads; tools know more and go through the gate.
_TOOLS: Final = {  # what a client calls instead of a command
    "app list": "query-wasm-apps",
    "app undo": "undo",
    "app uninstall": "uninstall-wasm-app",
    "app stop": "switch-program",
    "app start": "switch-program",
    "app restart": "switch-program",
    "app build": "try-program",
    "logs": "read-logs",
    "device list": "list-devices",
    "device show": "device-info",
    "schedule list": "schedule-list",
    "schedule rm": "schedule-remove",
    "schedule pause": "schedule-remove",
    "schedule resume": "schedule-remove",
    "schedule add": "schedule-add",
}
_PERSON: Final = "the person can, on the host's own command line"
_COMMANDS: Final = (
    "app|approval|backup|chat|config|demo|device|doctor|exec|firmware|flash|fleet|logs|mcp|memory|person|run|schedule"
    "|setup|status|task|up|virtual(?! board)|voice"
)
_COMMAND: Final = re.compile(rf"`?\bmicroclaw ((?:{_COMMANDS})\b(?: (?:-{{0,2}}[A-Za-z0-9][\w.:/-]*|\"[^\"]*\"))*)`?")


@asynccontextmanager
async def mcp_server(service: Service, *, every_tool: bool = False) -> AsyncIterator[Server[Any]]:
    """A server whose requests go to the host through `service`; leaving ends the calls that still run."""
    async with HostCalls() as calls, service.sessions(calls.end_session):
        yield _Handlers(service, calls, TrialStore(), every_tool).server()


@dataclass(frozen=True, slots=True)
class _Handlers:
    service: Service
    calls: HostCalls
    trials: TrialStore
    every_tool: bool

    def server(self) -> Server[Any]:
        return Server(
            NAME,
            version=__version__,
            title=TITLE,
            instructions=INSTRUCTIONS,
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_list_resources=self.list_resources,
            on_list_resource_templates=self.list_templates,
            on_read_resource=self.read_resource,
            on_list_prompts=self.list_prompts,
            on_get_prompt=self.get_prompt,
        )

    async def list_tools(self, context: Context, _: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        with _protocol_errors():
            caller = await self.service.caller(context)
            listed = await caller.host.get("/v1/tools")
        return types.ListToolsResult(tools=tools_from(listed["tools"], every=self.every_tool))

    async def call_tool(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        reporter = Reporter(context)
        try:
            if not offered(params.name, every=self.every_tool):
                raise _no_tool(params.name)
            async with reporter.telling_of_start():
                caller = await self.service.caller(context)
            result = await Follower(context, self.calls, caller, reporter).follow(params)
        except MicroclawError as exc:
            if isinstance(exc, HostError) and exc.failure.code == UnknownName.code:  # a device, or the tool itself
                listed = await self.list_tools(context, None)
                if all(tool.name != params.name for tool in listed.tools):
                    raise _no_tool(params.name) from exc
            return _failed(exc.message, exc.next_step)
        if isinstance(result, types.InputRequiredResult):
            return result
        return _told(result, params) if isinstance(result, Waiting) else self._result(caller, params.name, result)

    async def list_resources(
        self, context: Context, _: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        with _protocol_errors():
            caller = await self.service.caller(context)
            return types.ListResourcesResult(resources=await list_resources(caller, self.trials))

    async def list_templates(
        self, _: Context, __: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=list(TEMPLATES))

    async def read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        with _protocol_errors():
            caller = await self.service.caller(context)
        with _protocol_errors(types.INVALID_PARAMS):
            content = await read_resource(caller, self.trials, str(params.uri))
        return types.ReadResourceResult(contents=[content])

    async def list_prompts(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=list_prompts())

    async def get_prompt(self, _: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        with _protocol_errors(types.INVALID_PARAMS):
            return get_prompt(params.name, params.arguments or {})

    def _result(self, caller: Caller, tool: str, result: dict[str, Any]) -> types.CallToolResult:
        content = dict(result["content"])
        structured = {**content, "evidence": result["evidence"], "act": result["act"]}
        if not result["ok"]:
            message = str(content.get("message") or content.get("error") or "it failed")
            return _failed(message, result["next"], content.get("diagnostics", ()), structured)
        blocks: list[types.ContentBlock] = [types.TextContent(type="text", text=_dump(content))]
        trial_id = self.trials.keep(caller.owner, tool, result)
        if trial_id is not None:
            blocks.append(trial_link(trial_id))
        blocks += file_links(content)
        is_error = content.get("success") is False  # a trial that was run, and what it showed is wrong
        return types.CallToolResult(content=blocks, structured_content=structured, is_error=is_error)


def _no_tool(name: str) -> MCPError:
    return MCPError(types.INVALID_PARAMS, f"there is no tool {name[:80]!r}; tools/list has them")


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


def _told(waiting: Waiting, params: types.CallToolRequestParams) -> types.CallToolResult:
    """Neither done nor failed: it waits for a yes that this client cannot ask for."""
    asked = waiting.asked
    message = (
        f"Not done yet, it waits for a yes: {asked.text}. Tell the person: {where_to_decide(asked)}. After a yes it is "
        "done by itself: do not call it again, look whether it happened."
    )
    approval = {
        "approval_id": asked.approval_id,
        "text": asked.text,
        "detail": asked.detail,
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
def _protocol_errors(code: int = types.INTERNAL_ERROR) -> Iterator[None]:
    """The host's errors as the protocol's."""
    try:
        yield
    except MicroclawError as exc:
        text = exc.message if not exc.next_step else f"{exc.message} (next: {exc.next_step})"
        raise MCPError(code, without_commands(text)) from exc


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def without_commands(text: str) -> str:
    """The text with each `microclaw ...` command as a tool to call, or as the person's part."""
    return _COMMAND.sub(lambda found: _instead(found[1]), text)


def _instead(command: str) -> str:
    verb, *rest = command.split()
    tool = _TOOLS.get(verb) or _TOOLS.get(" ".join((verb, *rest[:1])))
    if tool is None:
        return _PERSON
    number = next((word for word in rest if word.isdecimal()), None)
    return f"call {tool}" if number is None else f"call {tool} for {number}"
