"""MCP resources of the host: devices, their pin timelines, programs, timelines of trials.

Read-only; nothing is stored.
"""

from __future__ import annotations

import json
import secrets
import sys
from importlib import resources
from typing import Any, Final, TypeVar

import mcp_types as types
import msgspec
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError

from microclaw.bounded_map import BoundedMap
from microclaw.devices.registry.device_text import collect_device_texts
from microclaw.errors import MicroclawError, UnknownName
from microclaw.host.operations.operation import Operation, OperationCall, approve_all
from microclaw.interfaces.api.tool_routes import conversation_in
from microclaw.interfaces.mcp.server.bridge import error_text
from microclaw.interfaces.mcp.server.session import SESSION, Session
from microclaw.programs.changes.authors import own_programs
from microclaw.programs.changes.change_log import ChangeOrigin, change_origin
from microclaw.programs.changes.device_calls import read_edges
from microclaw.programs.changes.device_operations import DeviceService, list_devices, show_device
from microclaw.programs.changes.operations import ProgramContext, list_apps, show
from microclaw.text import escape_hidden, fence_text

SCHEME: Final = "microclaw://"
JSON: Final = "application/json"
C_SOURCE: Final = "text/x-c"
PROGRAMS: Final = ("blink", "button_led", "fade", "read_sensor", "thermostat", "blink_events")
"""Programs of patterns/, an example of each way to write one."""
MAX_EDGES: Final = 20_000
MAX_TRIALS: Final = 64
# The length of an error that quotes a device.
MAX_QUOTED_CHARS: Final = 600
TRIAL_TOOLS: Final = frozenset({"try-program", "deploy-wasm-app"})
R = TypeVar("R")


class Resources:
    """Reads the resources for a session.

    The newest timelines of trials are kept; only the session of a trial can read its timeline. `tainted` are the
    sessions that have read untrusted text.
    """

    def __init__(self, devices: DeviceService, tainted: BoundedMap[str, None]) -> None:
        self._devices = devices
        self._programs = ProgramContext(devices.apps, devices.gate)
        self._tainted = tainted
        self._trials: BoundedMap[str, tuple[str, dict[str, Any]]] = BoundedMap(MAX_TRIALS)

    def add_to(self, server: MCPServer[Any]) -> None:
        for path, title, kind, read in (
            ("headers/microclaw.h", "The C API of programs", C_SOURCE, header),
            ("examples", "Programs that work, as examples", C_SOURCE, examples),
            ("devices", "Devices", JSON, self.devices),
            ("devices/{name}", "A device", JSON, self.device),
            ("devices/{name}/pins", "A device's pin timeline", JSON, self.pins),
            ("programs", "Programs", JSON, self.programs),
            ("devices/{name}/programs/{program}", "A program with its source", JSON, self.program),
            ("trials/{trial}", "The pin timeline of a trial", JSON, self.trial),
        ):
            server.resource(SCHEME + path, title=title, mime_type=kind)(read)

    def keep_trial(self, tool: str, result: dict[str, Any]) -> types.ResourceLink | None:
        """Keep the timeline of a trial and return a link to it; None if the result has no timeline."""
        edges: list[Any] = []
        for evidence in result["evidence"]:
            edges += evidence["edges"]
        if tool not in TRIAL_TOOLS or not edges:
            return None
        trial_id = secrets.token_hex(4)
        content = result["content"]
        summary = content.get("summary") or content.get("trial") or content.get("message")
        trial = {"trial": trial_id, "tool": tool, "summary": summary, "edges": edges}
        self._trials[trial_id] = (SESSION.get().key, trial)
        uri = f"{SCHEME}trials/{trial_id}"
        return types.ResourceLink(type="resource_link", uri=uri, name=f"trial {trial_id}", mime_type=JSON)

    async def devices(self) -> str:
        """List the devices that the host knows."""
        return _document(await self._read(list_devices, self._devices, limit=sys.maxsize))

    async def device(self, name: str) -> str:
        """Show its board, transports and labels."""
        return _document(await self._read(show_device, self._devices, device=name))

    async def programs(self) -> str:
        """List the programs of every device, with their states."""
        return _document(await self._read(list_apps, self._programs))

    async def program(self, name: str, program: str) -> str:
        """Show its source, expectations, proof, state, error and crashes."""
        session = SESSION.get()
        is_own = await self._has_own_words(session, name, program)
        shown = await self._read(show, self._programs, is_own=is_own, device=name, name=program)
        document: dict[str, Any] = msgspec.to_builtins(shown)
        for picture in (document["proof"] or {}).get("screens", ()):
            # A model that reads a document sees nothing in base64.
            del picture["png"]
        return _document(document)

    async def _has_own_words(self, session: Session, device: str, program: str) -> bool:
        """Return True if only this session's person wrote the source, or can have written its output."""
        apps = self._programs.apps
        try:
            device_id = apps.registry.get(device).device_id
        except UnknownName:
            return False
        with change_origin(ChangeOrigin(conversation=conversation_in(session.by, session.name))):
            programs = await own_programs(apps.change_log, device_id, session.by.person_id)
        return program in programs.words

    async def pins(self, name: str) -> str:
        """Show the level changes that the board counted: edges as [ms, pin, level]."""
        log = await self._read(read_edges, self._devices, device=name)
        return _document(
            {"device": name, "now_ms": log.now_ms, "dropped": log.dropped, "edges": log.edges[-MAX_EDGES:]}
        )

    async def trial(self, trial: str) -> str:
        """Show the edges of a program that was tried or deployed in this session."""
        owner, document = self._trials.get(trial, ("", {}))
        if owner != SESSION.get().key:
            raise MCPError(types.INVALID_PARAMS, f"there is no trial {trial[:80]!r} (next: try-program links its own)")
        return _document(document)

    async def _read(
        self, operation: Operation[Any, R, Any], service: Any, *, is_own: bool = False, **arguments: Any
    ) -> R:
        """Return the result of a reading operation; it asks for no approval.

        `is_own`: no other person has written text in the result. Raises MCPError.
        """
        session = SESSION.get()
        call = OperationCall(session.by.person_id, lambda _: None, approve=approve_all)
        with collect_device_texts() as device_texts:
            try:
                result = await operation.run(service, call, **arguments)
            except MicroclawError as exc:
                if exc.foreign or device_texts:
                    self._tainted[session.key] = None
                    exc.message = fence_text(exc.message[:MAX_QUOTED_CHARS], "a device")
                raise MCPError(types.INVALID_PARAMS, error_text(exc)) from exc
        is_foreign = bool(device_texts) or getattr(result, "is_foreign", False)
        if is_foreign and not is_own:
            self._tainted[session.key] = None
        return result


def header() -> str:
    """Show everything that a program may call."""
    return (resources.files("microclaw.programs.wasm") / "headers" / "microclaw.h").read_text(encoding="utf-8")


def examples() -> str:
    """Show whole programs."""
    folder = resources.files("microclaw.programs.patterns")
    parts: list[str] = []
    for name in PROGRAMS:
        source = (folder / f"{name}.c").read_text(encoding="utf-8")
        parts.append(f"/* {name}.c */\n{source}")
    return "\n".join(parts)


def _document(value: Any) -> str:
    return escape_hidden(json.dumps(msgspec.to_builtins(value), ensure_ascii=False))
