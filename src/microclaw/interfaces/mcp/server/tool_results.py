"""The host's tools and their results as MCP has them: titles, hints, the C API in words. It calls nothing."""

from __future__ import annotations

import json
from typing import Any, Final

import mcp_types as types

from microclaw.agent.turn.system_prompt import BUTTON_EXAMPLE, NATIVE_API
from microclaw.agent.turn.tool_selection import brief
from microclaw.events import Action, ApprovalAsked
from microclaw.host.operations.next_steps import client_text
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Tool
from microclaw.interfaces.mcp.server.client_names import client_name, in_client_names
from microclaw.tables import read_table
from microclaw.wire.host_api import action_object, event_object

_TABLE: Final = read_table(__package__, "forms")
OUTPUT: Final[dict[str, Any]] = _TABLE["output"]
TOOLS: Final[tuple[str, ...]] = tuple(_TABLE["tools"])
KEEPING: Final = frozenset(_TABLE["keeping"])

# Clients that read no resources write programs from this.
_C_API: Final = (
    " A C program opens pins and starts timers in on_init and returns; or it has int main(void), which may loop and "
    "waits with delay. A Python program is one MicroPython file, which may loop and sleeps. "
    f"C may call:\n{NATIVE_API}For example:\n{BUTTON_EXAMPLE}"
)
ABOUT: Final = {
    "deploy-wasm-app": _C_API,
    "try-program": " The program is as for deploy-program, whose description lists the functions that it may call.",
    "schedule-add": " The report of a run goes to the host's own chat, not to you: look with schedule-list.",
}
"""Facts that a client needs beyond the tool's own description. The host's agent has them from its prompt."""


def tool_from(tool: Tool[Any]) -> types.Tool:
    """Return a host's tool as MCP lists it, with its title and hints."""
    name = tool.name
    is_reading = tool.permission is Permission.READ
    if name in TOOLS:
        is_destructive = name not in KEEPING
    else:
        is_destructive = tool.permission is Permission.RISKY
    shown_name = client_name(name)
    title = shown_name.replace("-", " ").replace("_", " ").capitalize()
    return types.Tool(
        name=shown_name,
        title=title,
        description=in_client_names(tool.description) + ABOUT.get(name, ""),
        input_schema=json.loads(in_client_names(brief(tool).schema)),
        output_schema=OUTPUT,
        annotations=types.ToolAnnotations(
            read_only_hint=is_reading,
            destructive_hint=is_destructive and not is_reading,
            idempotent_hint=tool.effect is not Effect.ONCE,
            open_world_hint=name not in TOOLS and tool.foreign,
        ),
    )


def failed_result(
    message: str, next_step: str | None, diagnostics: Any = (), structured: dict[str, Any] | None = None
) -> types.CallToolResult:
    """Return an error and its next step as a result, with text that a model reads."""
    lines = [str(text) for text in diagnostics]
    if not any(line.startswith(message) for line in lines):
        lines.insert(0, _client_text(message))
    if next_step:
        lines.append(f"next: {_client_text(next_step)}")
    text = types.TextContent(type="text", text="\n".join(lines))
    if structured is not None and next_step:
        structured = {**structured, "next": _client_text(next_step)}
    return types.CallToolResult(content=[text], structured_content=structured, is_error=True)


def _client_text(text: str) -> str:
    return in_client_names(client_text(text))


def waiting_result(asked: ApprovalAsked, tool: Tool[Any], arguments: dict[str, Any]) -> types.CallToolResult:
    """Return the result of a call that waits for an approval which this client cannot ask for."""
    message = (
        f"Not done yet, it waits for a yes: {asked.text}. Tell the person: {where_to_decide(asked)}. After a yes it is "
        "done by itself: do not call it again, look whether it happened."
    )
    action = Action(tool.name, json.dumps(arguments), tool.effect.value, "unknown", reason="it waits for a yes")
    act = act_object(action_object(action) | {"outcome": "waiting"})
    content = {"success": False, "message": message, "approval": event_object(asked), "evidence": [], "act": act}
    return types.CallToolResult(content=[types.TextContent(type="text", text=message)], structured_content=content)


def act_object(action: dict[str, Any]) -> dict[str, Any]:
    """Return an act without its arguments, because the client has sent them."""
    act = {name: value for name, value in action.items() if name != "args"}
    if isinstance(act.get("tool"), str):
        act["tool"] = client_name(act["tool"])
    return act


def where_to_decide(asked: ApprovalAsked) -> str:
    """Return in words where a person decides the question. A model cannot decide it."""
    who = "a person" if asked.may_decide else "an owner"
    return (
        f"{who} decides it on the host within {asked.expires_s:.0f} s, as number {asked.approval_id}: on its "
        "command line (approval), in its chat, or in Telegram where that is set up"
    )
