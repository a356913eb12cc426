"""The names of tools and arguments as clients of MCP have them. The host's own names are accepted as well.

The host's model has the names of the product that its tools were first written for (forms.toml, `names`): a client
never sees them in the list, but a client that was written for them still works.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from microclaw.host.operations.tool import Tool
from microclaw.tables import read_table

_TABLE: Final = read_table(__package__, "forms")
_NAMES: Final[Mapping[str, str]] = _TABLE["names"]
_HOST_NAMES: Final = {client: host for host, client in _NAMES.items()}
_ALIASES: Final[Mapping[str, str]] = _TABLE["aliases"]
_NAME: Final = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, _NAMES))})(?![\w-])")


def in_client_names(text: str) -> str:
    """Return a text of this host (a description, a schema, an error) with the names that clients have."""
    return _NAME.sub(lambda name: _NAMES[name[0]], text)


def client_name(name: str) -> str:
    """Return the name that clients have for a tool or a field."""
    return _NAMES.get(name, name)


def host_name(name: str) -> str:
    """Return the host's name of a tool; a client may say either."""
    return _HOST_NAMES.get(name, name)


def host_arguments(tool: Tool[Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call with the host's names, also those of the calls in a call on many boards."""
    fields = {field.encode_name for field in structs.fields(tool.parameters)}
    named = {}
    for name, value in arguments.items():
        field = name
        if name not in fields:
            field = _ALIASES.get(name, _HOST_NAMES.get(name, name))
        named[field] = value
    if tool.name != "act-on-boards":
        return named
    return _host_calls(named)


def _host_calls(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of act-on-boards with the host's names of its tool and of that tool's arguments."""
    calls = dict(arguments)
    if isinstance(calls.get("tool"), str):
        calls["tool"] = host_name(calls["tool"])
    if isinstance(calls.get("arguments"), dict):
        calls["arguments"] = _host_fields(calls["arguments"])
    if isinstance(calls.get("each"), list):
        calls["each"] = [_host_group(group) for group in calls["each"]]
    return calls


def _host_group(group: Any) -> Any:
    if isinstance(group, dict) and isinstance(group.get("arguments"), dict):
        return {**group, "arguments": _host_fields(group["arguments"])}
    return group


def _host_fields(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {_HOST_NAMES.get(name, name): value for name, value in arguments.items()}
