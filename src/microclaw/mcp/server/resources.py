"""MCP resources of the host: devices, their pin timelines, timelines of trials, files of tasks.

Read-only; nothing is stored.
"""

from __future__ import annotations

import asyncio
import base64
import json
import mimetypes
import secrets
import sys
from collections import OrderedDict
from importlib import resources
from typing import Any, Final, cast
from urllib.parse import quote, unquote

import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext
from starlette.requests import Request

from microclaw.apps.device_calls import read_edges
from microclaw.apps.device_operations import DeviceService, list_devices, show_device
from microclaw.errors import Overloaded, UnknownName, over_limit
from microclaw.mcp.server.service import Session, session_of
from microclaw.operations.connection import MAX_REPLY_BYTES
from microclaw.operations.operation import Call
from microclaw.operations.tool import approve_all
from microclaw.tasks.access import check_sees
from microclaw.tasks.operations import Tasks
from microclaw.text import escape_hidden

SCHEME: Final = "microclaw://"
JSON: Final = "application/json"
PROGRAMS: Final = ("blink", "button_led", "fade", "read_sensor", "thermostat", "blink_events")
"""Programs of patterns/ that show what each way of writing one looks like."""
C_SOURCE: Final = "text/x-c"
MAX_EDGES: Final = 20_000
MAX_PAGES: Final = 64
MAX_TRIALS: Final = 64
TRIAL_TOOLS: Final = frozenset({"try-program", "deploy-wasm-app"})

_COUNTED: Final = "Level changes that the board counted: edges as [ms, pin, level]."
_TRIED: Final = "What a program did at the pins when it was tried or deployed in this session."
TEMPLATES: Final = tuple(
    types.ResourceTemplate(name=name, title=title, uri_template=SCHEME + path, description=about, mime_type=kind)
    for name, title, path, about, kind in (
        ("device", "A device", "devices/{name}", "Its board, transports and labels.", JSON),
        ("pins", "A device's pin timeline", "devices/{name}/pins", _COUNTED, JSON),
        ("trial", "The pin timeline of a trial", "trials/{id}", _TRIED, JSON),
        ("task file", "A file that a task left", "tasks/{task}/files/{name}", "What run-code kept, in base64.", None),
    )
)


Context = ServerRequestContext[Any, Any]


class Resources:
    """Reads them in the name of a session. The newest timelines are kept; only the session that made one reads it."""

    def __init__(self, devices: DeviceService, tasks: Tasks) -> None:
        self._devices = devices
        self._tasks = tasks
        self._trials: OrderedDict[str, tuple[str, dict[str, Any]]] = OrderedDict()

    def keep_trial(self, session: Session, tool: str, result: dict[str, Any]) -> str | None:
        """The id of its timeline; None for a result without one."""
        edges = [edge for evidence in result["evidence"] for edge in evidence["edges"]]
        if tool not in TRIAL_TOOLS or not edges:
            return None
        content = result["content"]
        trial_id = secrets.token_hex(4)
        summary = content.get("summary") or content.get("trial") or content.get("message")
        trial = {"trial": trial_id, "tool": tool, "summary": summary, "edges": edges}
        self._trials[trial_id] = (session.key, trial)
        if len(self._trials) > MAX_TRIALS:
            self._trials.popitem(last=False)
        return trial_id

    async def templates(self, *_: object) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=[*TEMPLATES])

    async def list(self, context: Context, _: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        session = session_in(context)
        found = [
            _resource("headers/microclaw.h", "microclaw.h", "What programs may call", C_SOURCE),
            _resource("examples", "examples", "Programs that work, as examples", C_SOURCE),
            _resource("devices", "devices", "Devices"),
        ]
        for name in [device.name for device in self._devices.registry.list()]:
            path = f"devices/{quote(name, safe='')}"
            found.append(_resource(path, name, f"Device {name}"))
            found.append(_resource(f"{path}/pins", f"{name} pins", f"Pin timeline of {name}"))
        own = [trial for owner, trial in self._trials.values() if owner == session.key]
        found += [_resource(f"trials/{one['trial']}", f"trial {one['trial']}", one["summary"]) for one in own]
        return types.ListResourcesResult(resources=found)

    async def read(self, context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """The content of a resource. UnknownName for an unknown URI."""
        uri, session = str(params.uri), session_in(context)
        words = [unquote(word) for word in uri.removeprefix(SCHEME).split("/")] if uri.startswith(SCHEME) else []
        kind, document = JSON, cast("Any", None)
        match words:
            case ["headers", "microclaw.h"]:
                header = resources.files("microclaw.wasm") / "headers" / "microclaw.h"
                kind, text = C_SOURCE, header.read_text(encoding="utf-8")
            case ["examples"]:
                folder = resources.files("microclaw.patterns")
                texts = [f"/* {name}.c */\n{(folder / f'{name}.c').read_text(encoding='utf-8')}" for name in PROGRAMS]
                kind, text = C_SOURCE, "\n".join(texts)
            case ["tasks", number, "files", name] if number.isdecimal():
                blob = base64.b64encode(await self._file(session, int(number), name)).decode()
                content = types.BlobResourceContents(uri=uri, mime_type=_kind_of(name), blob=blob)
                return types.ReadResourceResult(contents=[content])
            case ["devices"]:
                document = await list_devices.run(self._devices, _call(session), limit=sys.maxsize)
            case ["devices", name]:
                document = await show_device.run(self._devices, _call(session), device=name)
            case ["devices", name, "pins"]:
                document = await self._pins(session, name)
            case ["trials", trial_id] if self._trials.get(trial_id, ("", {}))[0] == session.key:
                document = self._trials[trial_id][1]
            case _:
                raise UnknownName(f"there is no resource {uri[:120]!r}", next_step="resources/list has them")
        if kind == JSON:
            text = escape_hidden(json.dumps(msgspec.to_builtins(document), ensure_ascii=False))
        return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=kind, text=text)])

    async def _file(self, session: Session, number: int, name: str) -> bytes:
        service = self._tasks.service
        await check_sees(service, self._tasks.roles, session.by.person_id, number)
        path = await service.file(number, name)
        try:
            size_bytes = (await asyncio.to_thread(path.stat)).st_size
            if size_bytes > MAX_REPLY_BYTES:
                text = over_limit("the file", MAX_REPLY_BYTES, "byte", size_bytes)
                raise Overloaded(text, next_step=f"GET /v1/tasks/{number}/files/{quote(name)}")
            return await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError as exc:
            raise UnknownName("this file is kept no longer", next_step="run the task again") from exc

    async def _pins(self, session: Session, name: str) -> dict[str, Any]:
        edges: list[list[float]] = []
        cursor = dropped = 0
        for _ in range(MAX_PAGES):
            page = await read_edges.run(self._devices, _call(session), device=name, cursor=cursor)
            edges += page.edges
            dropped += page.dropped
            if not page.edges or page.cursor == cursor or len(edges) > MAX_EDGES:
                break
            cursor = page.cursor
        return {"device": name, "now_ms": page.now_ms, "dropped": dropped, "edges": edges[-MAX_EDGES:]}


def session_in(context: Context) -> Session:
    """The session of a message: of a request over HTTP, or that of the lines."""
    found = context.request
    return found if isinstance(found, Session) else session_of(cast("Request", found).scope)


def _call(session: Session) -> Call:
    """Of an act that reads: nothing is asked."""
    return Call(session.by.person_id, approve_all, lambda _: None)


def _resource(path: str, name: str, title: str, kind: str = JSON) -> types.Resource:
    return types.Resource(uri=SCHEME + path, name=name, title=title, mime_type=kind)


def trial_link(trial_id: str) -> types.ResourceLink:
    uri = f"{SCHEME}trials/{trial_id}"
    return types.ResourceLink(type="resource_link", uri=uri, name=f"trial {trial_id}", mime_type=JSON)


def file_links(content: dict[str, Any]) -> list[types.ResourceLink]:
    """Of the files that a result of run-code names."""
    if "files_at" not in content:
        return []
    return [
        types.ResourceLink(
            type="resource_link",
            uri=f"{SCHEME}tasks/{content['task']}/files/{quote(one['name'], safe='')}",
            name=one["name"],
            mime_type=_kind_of(one["name"]),
            size=one["bytes"],
        )
        for one in content["files"]
    ]


def _kind_of(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
