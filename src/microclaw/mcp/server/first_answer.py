"""The first answer, before the MCP library is loaded: that takes longer than some clients wait. It knows no tool.

`initialize` and `server/discover` depend on nothing but what this server says of itself; the answers are the library's
own (a test compares them). What is not a plain one of these is left to the library.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from microclaw import __version__

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
HANDSHAKE_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSION: Final = "2026-07-28"
CAPABILITIES: Final = {
    "logging": {},
    "prompts": {"listChanged": False},
    "resources": {"listChanged": False, "subscribe": False},
    "tools": {"listChanged": False},
}
SERVER_INFO: Final = {"name": NAME, "title": TITLE, "version": __version__}
_META: Final = "io.modelcontextprotocol/"


class FirstAnswer(NamedTuple):
    """`replayed`: the library also gets the request, and its answer is dropped."""

    request_id: str | int
    line: bytes
    replayed: bool


def first_answer(line: bytes) -> FirstAnswer | None:
    """The answer to a connection's first line; None leaves it to the library."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match request:
        case {"jsonrpc": "2.0", "id": str() | int() as request_id, "method": method, "params": dict() as params}:
            plain = len(request) == 4 and not isinstance(request_id, bool) and str(request_id).isascii()
        case _:
            return None  # an id beyond ASCII may be half a character, which no line can hold
    if not plain:
        return None
    if method == "initialize" and _is_initialize(params):
        return FirstAnswer(request_id, _line(request_id, _initialized(params["protocolVersion"])), replayed=True)
    if method == "server/discover" and _is_discover(params):
        return FirstAnswer(request_id, _line(request_id, _discovered()), replayed=False)
    return None


def _is_initialize(params: dict[str, Any]) -> bool:
    meta = params.get("_meta", {})
    match params:
        case {"protocolVersion": str(), "capabilities": dict(), "clientInfo": {"name": str(), "version": str()}}:
            return isinstance(meta, dict) and _META + "protocolVersion" not in meta
    return False


def _is_discover(params: dict[str, Any]) -> bool:
    meta = params.get("_meta")
    if not isinstance(meta, dict) or len(params) != 1:
        return False
    values = [meta.get(_META + name) for name in ("protocolVersion", "clientCapabilities", "clientInfo")]
    match values:
        case [version, dict(), {"name": str(), "version": str()}]:
            return bool(version == MODERN_VERSION)
    return False


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
