"""The tools that a request to a model offers, in few words. It runs no tool; every tool stays callable by name.

A model gets those that most requests need. `more-tools` lists the rest by name and has the wanted ones offered from the
next request on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from microclaw.auth.gate import Effect, Permission
from microclaw.models.protocol import AssistantReply, Message, ToolSpec
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput, object_schema

MORE_TOOLS: Final = "more-tools"
_MAX_NAMED: Final = 60  # names in the description of more-tools; without names it lists all
_BRIEF_CHARS: Final = 100  # of a tool's purpose in the list of all
_SELDOM: Final = frozenset({"deviceIp", "optimizationLevel", "offset", "firstLine"})  # taken, but not told
_CLEAR: Final = frozenset({"device", "pin", "level", "heapSize"})  # the system prompt and their names say what they are
_DROPPED: Final = frozenset(
    {"title", "default", "minLength", "maxLength", "maxItems", "pattern", "additionalProperties"}
)

_FIRST: Final = (
    *("deploy-wasm-app", "query-wasm-apps", "read-program", "uninstall-wasm-app", "gpio-set", "gpio-get", "undo"),
    *("pwm-set", "adc-read", "i2c-read", "skill", "remember"),
)
"""The tools of most requests. Always the same ones: what a model was sent before, its provider keeps ready."""
_QUOTED: Final = re.compile(r'"([^"]*)"')


class MoreParameters(Parameters, kw_only=True):
    names: Annotated[tuple[str, ...], Meta(max_length=20)] = ()


def more_tools(tools: Callable[[], Sequence[Tool[Any]]]) -> Tool[Any]:
    """Build the tool more-tools; `tools` returns all current tools."""

    async def more(asked: MoreParameters, _: ToolContext) -> ToolOutput:
        every = [tool for tool in tools() if tool.name != MORE_TOOLS]
        wanted = [tool for tool in every if tool.name in asked.names]
        unknown = set(asked.names) - {tool.name for tool in wanted}
        fields: dict[str, Any] = {
            "success": not unknown,
            "offered": {tool.name: tool.description for tool in wanted},
        }
        if unknown:
            fields["unknown"] = sorted(unknown)
        if unknown or not asked.names:
            fields["tools"] = {tool.name: _purpose(tool) for tool in every}
        return ToolOutput(fields, foreign=any(tool.schema is not None for tool in wanted) or None)

    return Tool(MORE_TOOLS, "", MoreParameters, Permission.READ, Effect.READ, more)


def _purpose(tool: Tool[Any]) -> str:
    """Return what a tool is for, in a few words; empty for one of a server, whose own words would taint."""
    if tool.schema is not None:
        return ""
    return tool.description.partition(". ")[0][:_BRIEF_CHARS]


def select_tools(tools: Iterable[Tool[Any]], messages: Sequence[Message]) -> tuple[ToolSpec, ...]:
    """Return the tools that a request with these messages offers.

    First the same ones for every turn, so that what a provider keeps of them holds; behind them what the model called
    in this turn or asked more-tools for.
    """
    every = {tool.name: tool for tool in tools}
    more = every.pop(MORE_TOOLS, None)
    if more is None:
        return tuple(map(brief, every.values()))
    first = [tool for name, tool in every.items() if name in _FIRST]
    rest = [name for name in every if name not in _FIRST]
    unnamed_count = len(rest) - _MAX_NAMED
    if unnamed_count > 0:
        unnamed = f" and {unnamed_count} more: call it without names"
    else:
        unnamed = ""
    description = f"Offers more: {', '.join(rest[:_MAX_NAMED])}{unnamed}."
    added = [every[name] for name in _wanted(messages) if name in rest]
    return (*map(brief, first), replace(brief(more), description=description), *map(brief, added))


def _wanted(messages: Sequence[Message]) -> tuple[str, ...]:
    """Return the names that the model called or asked more-tools for, each once, in the order in which they came."""
    names: list[str] = []
    for message in messages:
        if not isinstance(message, AssistantReply):
            continue
        for call in message.calls:
            names.append(call.name)
            if call.name == MORE_TOOLS:
                names += _QUOTED.findall(call.arguments)
    return tuple(dict.fromkeys(names))


def brief(tool: Tool[Any]) -> ToolSpec:
    """Return a tool as a model sees it: its arguments by name, type and purpose, without seldom needed details."""
    # The schema of a server's tool may have any form, so it stays whole.
    if tool.schema is not None:
        return ToolSpec(tool.name, tool.description, json.dumps(tool.schema, separators=(",", ":")))
    parameters: type[Struct] = tool.told or tool.parameters
    return ToolSpec(tool.name, tool.description, _brief_schema(parameters))


@lru_cache(maxsize=512)
def _brief_schema(parameters: type[Struct]) -> str:
    schema = object_schema(parameters)
    shared = schema.get("$defs", {})
    fields = schema.get("properties", {})
    properties = {name: _plain(field, shared) for name, field in fields.items() if name not in _SELDOM}
    for name in properties.keys() & _CLEAR:
        properties[name].pop("description", None)
    brief = {"type": "object", "properties": properties}
    if schema.get("required"):
        brief["required"] = schema["required"]
    return json.dumps(brief, separators=(",", ":"))


def _plain(field: Any, shared: Mapping[str, Any]) -> Any:
    """Return a field's schema without nulls, titles, references and limits of length."""
    if isinstance(field, list):
        return [_plain(item, shared) for item in field]
    if not isinstance(field, dict):
        return field
    if "$ref" in field:
        return _plain(shared[field["$ref"].rpartition("/")[2]], shared)
    choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        others = {key: value for key, value in field.items() if key != "anyOf"}
        field = choices[0] | others
    # Limits of numbers are left out too, as a wrong number is explained by the refusal; 0 to 1 is a level.
    dropped = _DROPPED
    if field.get("maximum") != 1:
        dropped = _DROPPED | {"minimum", "maximum"}
    plain: dict[str, Any] = {}
    for key, value in field.items():
        if key == "properties":
            plain[key] = {name: _plain(item, shared) for name, item in value.items()}
        elif key not in dropped:
            plain[key] = _plain(value, shared)
    return plain
