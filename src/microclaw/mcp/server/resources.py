"""What the host knows as MCP resources: devices, their pin timelines, timelines of trials, files of tasks.

Read-only; nothing is stored.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import secrets
from importlib import resources
from typing import Any, Final
from urllib.parse import quote, unquote

import mcp_types as types

from microclaw.errors import UnknownName
from microclaw.mcp.server.service import Caller
from microclaw.operations.connection import MAX_REPLY_BYTES, segment
from microclaw.text import escape_hidden

SCHEME: Final = "microclaw://"
DEVICES: Final = f"{SCHEME}devices"
JSON: Final = "application/json"
HEADER: Final = f"{SCHEME}headers/microclaw.h"
EXAMPLES: Final = f"{SCHEME}examples"
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


class TrialStore:
    """The newest timelines by id; the oldest is dropped. Only the client that made one can read it."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, dict[str, Any]]] = {}

    def keep(self, owner: str, tool: str, result: dict[str, Any]) -> str | None:
        """Its id; None for a result without a timeline."""
        edges = [edge for evidence in result["evidence"] for edge in evidence["edges"]]
        if tool not in TRIAL_TOOLS or not edges:
            return None
        content = result["content"]
        trial_id = secrets.token_hex(4)
        self._kept[trial_id] = (
            owner,
            {
                "trial": trial_id,
                "tool": tool,
                "summary": content.get("summary") or content.get("trial") or content.get("message"),
                "edges": edges,
            },
        )
        if len(self._kept) > MAX_TRIALS:
            self._kept.pop(next(iter(self._kept)))
        return trial_id

    def get(self, owner: str, trial_id: str) -> dict[str, Any] | None:
        kept = self._kept.get(trial_id)
        return kept[1] if kept is not None and kept[0] == owner else None

    def of(self, owner: str) -> list[dict[str, Any]]:
        return [trial for whose, trial in self._kept.values() if whose == owner]


async def list_resources(caller: Caller, trials: TrialStore) -> list[types.Resource]:
    found = [
        types.Resource(uri=HEADER, name="microclaw.h", title="What programs may call", mime_type=C_SOURCE),
        types.Resource(uri=EXAMPLES, name="examples", title="Programs that work, as examples", mime_type=C_SOURCE),
        types.Resource(uri=DEVICES, name="devices", title="Devices", mime_type=JSON),
    ]
    for device in (await _devices(caller))["devices"]:
        uri = f"{DEVICES}/{quote(device['name'], safe='')}"
        found.append(types.Resource(uri=uri, name=device["name"], title=f"Device {device['name']}", mime_type=JSON))
        title = f"Pin timeline of {device['name']}"
        found.append(types.Resource(uri=f"{uri}/pins", name=f"{device['name']} pins", title=title, mime_type=JSON))
    for trial in trials.of(caller.owner):
        uri = f"{SCHEME}trials/{trial['trial']}"
        found.append(types.Resource(uri=uri, name=f"trial {trial['trial']}", title=trial["summary"], mime_type=JSON))
    return found


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


async def read_resource(
    caller: Caller, trials: TrialStore, uri: str
) -> types.TextResourceContents | types.BlobResourceContents:
    """The content of a resource. UnknownName for an unknown URI."""
    if uri == HEADER:
        header = (resources.files("microclaw.wasm") / "headers" / "microclaw.h").read_text(encoding="utf-8")
        return types.TextResourceContents(uri=uri, mime_type=C_SOURCE, text=header)
    if uri == EXAMPLES:
        folder = resources.files("microclaw.patterns")
        texts = [f"/* {name}.c */\n{(folder / f'{name}.c').read_text(encoding='utf-8')}" for name in PROGRAMS]
        return types.TextResourceContents(uri=uri, mime_type=C_SOURCE, text="\n".join(texts))
    match _words(uri):
        case ["tasks", number, "files", name] if not {"", ".", ".."} & {*name.split("/")}:
            path = f"/v1/tasks/{segment(number)}/files/{quote(name, safe='')}"
            read = b"".join(
                [piece async for piece in caller.host.download(path, method="GET", most_bytes=MAX_REPLY_BYTES)]
            )
            return types.BlobResourceContents(uri=uri, mime_type=_kind_of(name), blob=base64.b64encode(read).decode())
    text = escape_hidden(json.dumps(await _document(caller, trials, uri), ensure_ascii=False))
    return types.TextResourceContents(uri=uri, mime_type=JSON, text=text)


async def _devices(caller: Caller) -> dict[str, Any]:
    """All that GET /v1/devices has, in one."""
    whole: dict[str, Any] = await caller.host.get("/v1/devices")
    while whole["next"] is not None:
        page = await caller.host.get(f"/v1/devices?after={quote(whole['next'], safe='')}")
        whole = {**whole, "devices": [*whole["devices"], *page["devices"]], "next": page["next"]}
    return whole


async def _document(caller: Caller, trials: TrialStore, uri: str) -> dict[str, Any]:
    match _words(uri):
        case ["devices"]:
            return await _devices(caller)
        case ["devices", name]:
            return await caller.host.get(f"/v1/devices/{segment(name)}")
        case ["devices", name, "pins"]:
            return await _pins(caller, name)
        case ["trials", trial_id] if (trial := trials.get(caller.owner, trial_id)) is not None:
            return trial
    raise UnknownName(f"there is no resource {uri[:120]!r}", next_step="resources/list has them")


def _words(uri: str) -> list[str]:
    return [unquote(word) for word in uri.removeprefix(SCHEME).split("/")] if uri.startswith(SCHEME) else []


async def _pins(caller: Caller, name: str) -> dict[str, Any]:
    edges: list[list[float]] = []
    cursor = dropped = 0
    for _ in range(MAX_PAGES):
        page = await caller.host.get(f"/v1/devices/{segment(name)}/edges", {"cursor": cursor})
        edges += page["edges"]
        dropped += page["dropped"]
        if not page["edges"] or page["cursor"] == cursor or len(edges) > MAX_EDGES:
            break
        cursor = page["cursor"]
    kept = edges[-MAX_EDGES:]
    return {"device": name, "now_ms": page["now_ms"], "dropped": dropped, "edges": kept}
