"""The tools that a request to a model offers, in few words. It runs no tool; every tool stays callable by name.

A model gets the tools that most requests need. `more-tools` lists the rest by name; the tools that it is called with
are offered from the next request on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from microclaw.agent.models.protocol import AssistantReply, Message, ToolSpec
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput, object_schema

MORE_TOOLS: Final = "more-tools"
# Names in the description of more-tools; called without names, the tool lists all.
_MAX_NAMED: Final = 60
# Of a tool's purpose in the list of all tools.
_BRIEF_CHARS: Final = 100
# Arguments that a call may have, although the model does not get them listed.
_SELDOM: Final = frozenset({"deviceIp", "optimizationLevel", "offset", "firstLine"})
# Arguments without a description: the system prompt and their names explain them.
_CLEAR: Final = frozenset({"device", "pin", "level", "heapSize"})
_DROPPED: Final = frozenset(
    {"title", "default", "minLength", "maxLength", "maxItems", "pattern", "additionalProperties"}
)

_FIRST: Final = (
    *("deploy-wasm-app", "query-wasm-apps", "read-program", "uninstall-wasm-app", "gpio-set", "gpio-get", "undo"),
    *("pwm-set", "adc-read", "i2c-read", "skill", "remember"),
)
"""The tools of most requests. They are always the same, as a provider keeps the beginning of a request ready."""
_QUOTED: Final = re.compile(r'"([^"]*)"')


class MoreParameters(Parameters, kw_only=True):
    names: Annotated[tuple[str, ...], Meta(max_length=20)] = ()


def more_tools(tools: Callable[[], Sequence[Tool[Any]]]) -> Tool[Any]:
    """Build the tool more-tools; `tools` returns all current tools."""

    async def more(parameters: MoreParameters, _: ToolContext) -> ToolOutput:
        purposes: dict[str, str] = {}
        descriptions: dict[str, str] = {}
        is_foreign: bool | None = None
        for tool in tools():
            if tool.name == MORE_TOOLS:
                continue
            purposes[tool.name] = _purpose(tool)
            if tool.name in parameters.names:
                descriptions[tool.name] = tool.description
                # A server wrote the description of a tool that has a schema.
                if tool.schema is not None:
                    is_foreign = True
        unknown = set(parameters.names) - descriptions.keys()
        fields: dict[str, Any] = {"success": not unknown, "offered": descriptions}
        if unknown:
            fields["unknown"] = sorted(unknown)
        if unknown or not parameters.names:
            fields["tools"] = purposes
        return ToolOutput(fields, foreign=is_foreign)

    return Tool(MORE_TOOLS, "", MoreParameters, Permission.READ, Effect.READ, more)


def _purpose(tool: Tool[Any]) -> str:
    """Return a tool's purpose in a few words; empty for the tool of a server, as its own words would taint the turn."""
    if tool.schema is not None:
        return ""
    return tool.description.partition(". ")[0][:_BRIEF_CHARS]


def select_tools(tools: Iterable[Tool[Any]], messages: Sequence[Message]) -> tuple[ToolSpec, ...]:
    """Return the tools that a request with these messages offers.

    First come the same tools in every turn, so that a provider can keep the beginning of the request. Behind them are
    the tools that the model called in this turn or asked more-tools for.
    """
    all_tools = {tool.name: tool for tool in tools}
    more = all_tools.pop(MORE_TOOLS, None)
    if more is None:
        return tuple(map(brief, all_tools.values()))
    specs: list[ToolSpec] = []
    other_names: list[str] = []
    for name, tool in all_tools.items():
        if name in _FIRST:
            specs.append(brief(tool))
        else:
            other_names.append(name)
    specs.append(replace(brief(more), description=_more_description(other_names)))
    for name in _called_names(messages):
        if name in other_names:
            specs.append(brief(all_tools[name]))
    return tuple(specs)


def _more_description(names: Sequence[str]) -> str:
    text = f"Offers more: {', '.join(names[:_MAX_NAMED])}"
    unnamed_count = len(names) - _MAX_NAMED
    if unnamed_count > 0:
        text += f" and {unnamed_count} more: call it without names"
    return f"{text}."


def _called_names(messages: Sequence[Message]) -> tuple[str, ...]:
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
    definitions = schema.get("$defs", {})
    properties = {}
    for name, field in schema.get("properties", {}).items():
        if name not in _SELDOM:
            properties[name] = _simplify(field, definitions)
    for name in properties.keys() & _CLEAR:
        properties[name].pop("description", None)
    brief_schema = {"type": "object", "properties": properties}
    if schema.get("required"):
        brief_schema["required"] = schema["required"]
    return json.dumps(brief_schema, separators=(",", ":"))


def _simplify(field: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a field's schema without nulls, titles, references and limits of length."""
    if isinstance(field, list):
        return [_simplify(item, definitions) for item in field]
    if not isinstance(field, dict):
        return field
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return _simplify(definitions[name], definitions)
    choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        others = dict(field)
        del others["anyOf"]
        field = choices[0] | others
    # Limits of numbers are left out too, as a wrong number is explained by the refusal; 0 to 1 is a level.
    dropped = _DROPPED
    if field.get("maximum") != 1:
        dropped = _DROPPED | {"minimum", "maximum"}
    simple: dict[str, Any] = {}
    for key, value in field.items():
        if key == "properties":
            simple[key] = {name: _simplify(item, definitions) for name, item in value.items()}
        elif key not in dropped:
            simple[key] = _simplify(value, definitions)
    return simple
