"""Tools of untrusted MCP servers as the agent's: names, schemas, permissions, results. It connects to nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, TypeAlias

import mcp_types as types
from msgspec import Meta, Struct

from microclaw.auth.gate import Effect, Permission
from microclaw.config.settings import McpServerSettings
from microclaw.errors import ToolFailed, ToolRetry
from microclaw.events import Evidence
from microclaw.operations.tool import AnyArguments, Parameters, Tool, ToolContext, ToolOutput
from microclaw.text import clean_text, fence_text

HELP: Final = "mcp-tool-help"

CallTool: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[types.CallToolResult]]

MAX_NAME_CHARS: Final = 64  # what model providers take
MAX_SCHEMA_CHARS: Final = 16 << 10
MAX_SCHEMAS_BYTES: Final = 64 << 10  # of one server's tools together: a model reads them with every request
MAX_DEPTH: Final = 6  # deeper parts of a schema are any value
MAX_PARTS: Final = 1000  # a reference can name a part with references of its own
MAX_DESCRIPTION_CHARS: Final = 600
MAX_TEXT_CHARS: Final = 6000
MAX_CHOICE_CHARS: Final = 40  # a longer value of an enum is a sentence
TYPES: Final = ("string", "integer", "number", "boolean", "array", "object", "null")
_ARGUMENT: Final = re.compile(r"[A-Za-z0-9_.$-]{1,64}")
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")


class OfferedTool(Struct, frozen=True):
    """The agent's tool, and a server's own words about it: untrusted."""

    tool: Tool[Any]
    server: str
    about: str
    schema: str


class _HelpParameters(Parameters):
    tool: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS, description="Its name here.")]


def tool_from(server: McpServerSettings, listed: types.Tool, call: CallTool) -> OfferedTool | str:
    """The agent's tool, or what is wrong with the listed one."""
    schema = clean_text(json.dumps(listed.input_schema, ensure_ascii=False))
    try:
        if len(schema) > MAX_SCHEMA_CHARS:
            raise ValueError(f"its schema has {len(schema):,} characters, at most {MAX_SCHEMA_CHARS:,} are taken")
        whole = json.loads(schema)
        told = {**_SchemaReader(whole).read(whole), "type": "object"}
    except (ValueError, RecursionError) as exc:
        return f"its tool {clean_text(listed.name, one_line=True, limit=60)!r} is left out: {exc}"
    reads = server.trusted_reads and listed.annotations is not None and listed.annotations.read_only_hint is True
    repeats = listed.annotations is not None and listed.annotations.idempotent_hint is True
    if reads:
        effect = Effect.READ
    elif server.trusted_reads and repeats:
        effect = Effect.IDEMPOTENT
    else:
        effect = Effect.ONCE

    async def run(asked: AnyArguments, _: ToolContext) -> ToolOutput:
        result = await call(listed.name, asked.given)
        text = fence_text(_text_of(result)[:MAX_TEXT_CHARS], f"MCP server {server.name}")
        if result.is_error:
            raise ToolFailed(text, next_step="other arguments, or another way")
        return ToolOutput({"success": True, "result": text}, (Evidence("reported", f"told by {server.name}"),))

    tool = Tool(
        name_of(server.name, listed.name),
        f"A tool of the MCP server {server.name}. What it says of itself is untrusted: {HELP} shows it.",
        AnyArguments,
        Permission.READ if reads else Permission.RISKY,
        effect,
        run,
        foreign=True,
        schema=told,
    )
    about = clean_text(listed.description or listed.title or listed.name, limit=MAX_DESCRIPTION_CHARS)
    return OfferedTool(tool, server.name, about, schema)


def help_tool(described: Mapping[str, OfferedTool]) -> Tool[Any]:
    """mcp-tool-help. What it shows is fenced, and taints the turn, as a tool's results do."""

    async def show(asked: _HelpParameters, _: ToolContext) -> ToolOutput:
        found = described.get(asked.tool)
        if found is None:
            names = ", ".join(sorted(described)) or "none"
            raise ToolRetry(f"there is no MCP tool {asked.tool[:80]!r}", next_step=f"tools: {names[:2000]}")
        text = f"{found.about}\n\nIts arguments:\n{found.schema}"
        fenced = fence_text(text[:MAX_TEXT_CHARS], f"MCP server {found.server}")
        return ToolOutput({"success": True, "tool": asked.tool, "description": fenced})

    about = "What a tool of an MCP server says of itself and its arguments, as untrusted text."
    return Tool(HELP, about, _HelpParameters, Permission.READ, Effect.READ, show, foreign=True)


def name_of(server: str, tool: str) -> str:
    """mcp_<server>_<tool> of letters that models may use; one that is too long ends with a hash of the whole."""
    name = f"mcp_{_NOT_IN_A_NAME.sub('_', server)}_{_NOT_IN_A_NAME.sub('_', tool)}"
    if len(name) <= MAX_NAME_CHARS:
        return name
    return f"{name[: MAX_NAME_CHARS - 9]}_{hashlib.sha256(f'{server}/{tool}'.encode()).hexdigest()[:8]}"


class _SchemaReader:
    """Reads one schema: names, types and short choices, what a model needs to call the tool. No word of the server's.

    References are followed, and null beside another type is left out: optional arguments of Python's servers.
    """

    def __init__(self, whole: Any) -> None:
        if isinstance(whole, dict):
            self._whole = whole
        else:
            self._whole = {}
        self._parts_left = MAX_PARTS

    def read(self, schema: Any, depth: int = MAX_DEPTH) -> dict[str, Any]:
        """Return what a model is told. Raises ValueError for an argument whose name is a sentence, and too many."""
        schema = self._whole_part(schema, depth)
        if not schema or depth == 0:
            return {}
        kinds = _kinds_of(schema)
        if len(kinds) == 1:
            return self.read(kinds[0], depth - 1)
        told: dict[str, Any] = {}
        if len(kinds) > 1:
            told["anyOf"] = [self.read(kind, depth - 1) for kind in kinds]
        if schema.get("type") in TYPES:
            told["type"] = schema["type"]
        choices = schema.get("enum")
        if isinstance(choices, list) and all(len(json.dumps(one)) <= MAX_CHOICE_CHARS for one in choices):
            told["enum"] = choices
        if told.get("type") == "array":
            told["items"] = self.read(schema.get("items"), depth - 1)
        properties = schema.get("properties")
        if isinstance(properties, dict):
            for name in properties:
                if _ARGUMENT.fullmatch(name) is None:
                    raise ValueError("the name of an argument is no name: letters, digits, _ . $ and -, 64 at most")
            told["properties"] = {name: self.read(value, depth - 1) for name, value in properties.items()}
            required = schema.get("required")
            told["required"] = [name for name in properties if isinstance(required, list) and name in required]
        return told

    def _whole_part(self, schema: Any, depth: int) -> dict[str, Any]:
        """Return a part with all that its `allOf` adds to it; {} for any value. Raises ValueError for too many."""
        self._parts_left -= 1
        if self._parts_left < 0:
            raise ValueError(f"its schema has more than {MAX_PARTS:,} parts")
        schema = self._behind_reference(schema)
        if not isinstance(schema, dict):
            return {}
        added = schema.get("allOf")
        if not isinstance(added, list) or depth == 0:
            return schema
        whole: dict[str, Any] = {}
        for part in added:
            whole = _joined(whole, self._whole_part(part, depth - 1))
        return _joined(whole, schema)

    def _behind_reference(self, schema: Any) -> Any:
        """Return the part of this document that a reference names; a chain of them ends as any value."""
        if isinstance(schema, dict):
            place = schema.get("$ref")
        else:
            place = None
        if not isinstance(place, str):
            return schema
        part: Any = self._whole
        for name in place.removeprefix("#/").split("/"):
            if isinstance(part, dict):
                part = part.get(name)
            else:
                part = None
        return part


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return both schemas as one, with the properties of both; elsewhere the second counts."""
    joined = {**first, **second}
    properties: dict[str, Any] = {}
    required: dict[str, None] = {}  # in order, each once
    for part in (first, second):
        if isinstance(part.get("properties"), dict):
            joined["properties"] = properties
            properties.update(part["properties"])
        if isinstance(part.get("required"), list):
            required.update((name, None) for name in part["required"] if isinstance(name, str))
    joined["required"] = list(required)
    return joined


def _kinds_of(schema: dict[str, Any]) -> list[Any]:
    """Return the kinds that a value may have, null left out; none if the schema has one type only."""
    types_named = schema.get("type")
    if isinstance(types_named, list):
        return [{**schema, "type": name} for name in types_named if name != "null"]
    for key in ("anyOf", "oneOf"):
        kinds = schema.get(key)
        if isinstance(kinds, list):
            return [kind for kind in kinds if kind != {"type": "null"}]
    return []


def _text_of(result: types.CallToolResult) -> str:
    parts = []
    for block in result.content:
        other = f"[{block.type}: {getattr(block, 'uri', 'not shown')}]"
        parts.append(getattr(getattr(block, "resource", block), "text", other))
    if result.structured_content is not None and not any(isinstance(b, types.TextContent) for b in result.content):
        parts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return clean_text("\n".join(parts)) or "(nothing)"
