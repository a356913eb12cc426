"""The first answer, before the MCP library is loaded: that takes longer than some clients wait. It knows no tool.

`initialize` and `server/discover` depend on nothing but identity.py; the answers are the library's own (a test
compares them). What is not a plain one of these is left to the library.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from microclaw.mcp.identity import HANDSHAKE_VERSIONS, INSTRUCTIONS, MODERN_VERSION, NAME, TITLE, VERSION

CAPABILITIES: Final = {
    "logging": {},
    "resources": {"listChanged": False, "subscribe": False},
    "tools": {"listChanged": False},
}
SERVER_INFO: Final = {"name": NAME, "title": TITLE, "version": VERSION}
_META: Final = "io.modelcontextprotocol/"


class FirstAnswer(NamedTuple):
    """`replayed`: the library must see the request, too, and its answer is dropped."""

    request_id: str | int
    line: bytes
    replayed: bool


def first_answer(line: bytes) -> FirstAnswer | None:
    """The answer to a connection's first line; None leaves it to the library."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(request, dict) or request.get("jsonrpc") != "2.0" or request.keys() - _KEYS:
        return None
    request_id, params = request.get("id"), request.get("params")
    if not isinstance(request_id, str | int) or isinstance(request_id, bool) or not isinstance(params, dict):
        return None
    if not str(request_id).isascii():  # it may be half a character, which no line can hold
        return None
    match request.get("method"):
        case "initialize" if _is_initialize(params):
            return FirstAnswer(request_id, _line(request_id, _initialized(params["protocolVersion"])), replayed=True)
        case "server/discover" if _is_discover(params):
            return FirstAnswer(request_id, _line(request_id, _discovered()), replayed=False)
        case _:
            return None


_KEYS: Final = {"jsonrpc", "id", "method", "params"}


def _is_initialize(params: dict[str, Any]) -> bool:
    info = params.get("clientInfo")
    return (
        isinstance(params.get("protocolVersion"), str)
        and isinstance(params.get("capabilities"), dict)
        and isinstance(info, dict)
        and isinstance(info.get("name"), str)
        and isinstance(info.get("version"), str)
        and isinstance(params.get("_meta", {}), dict)
        and _META + "protocolVersion" not in params.get("_meta", {})
    )


def _is_discover(params: dict[str, Any]) -> bool:
    meta = params.get("_meta")
    if not isinstance(meta, dict) or params.keys() != {"_meta"}:
        return False
    info = meta.get(_META + "clientInfo")
    return (
        meta.get(_META + "protocolVersion") == MODERN_VERSION
        and meta.get(_META + "clientCapabilities") is not None
        and isinstance(meta[_META + "clientCapabilities"], dict)
        and isinstance(info, dict)
        and isinstance(info.get("name"), str)
        and isinstance(info.get("version"), str)
    )


def _initialized(wanted: str) -> dict[str, Any]:
    return {
        "capabilities": CAPABILITIES,
        "instructions": INSTRUCTIONS,
        "protocolVersion": wanted if wanted in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[-1],
        "serverInfo": SERVER_INFO,
    }


def _discovered() -> dict[str, Any]:
    return {
        "cacheScope": "private",
        "capabilities": CAPABILITIES,
        "instructions": INSTRUCTIONS,
        "resultType": "complete",
        "supportedVersions": [MODERN_VERSION],
        "ttlMs": 0,
        "_meta": {_META + "serverInfo": SERVER_INFO},
    }


def _line(request_id: str | int, result: dict[str, Any]) -> bytes:
    answer = {"jsonrpc": "2.0", "id": request_id, "result": result}
    return json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
