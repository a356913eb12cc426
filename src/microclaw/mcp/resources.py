"""What the host knows as MCP resources: devices, their pin timelines, and the timelines of trials. Read-only."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final
from urllib.parse import quote, unquote

import mcp_types as types

from microclaw.errors import UnknownName
from microclaw.mcp.bridge import segment
from microclaw.mcp.desk import Visit
from microclaw.mcp.trials import Trials, by_pin
from microclaw.text import escape_hidden

SCHEME: Final = "microclaw://"
DEVICES: Final = f"{SCHEME}devices"
JSON: Final = "application/json"
HEADER: Final = f"{SCHEME}headers/microclaw.h"
MAX_EDGES: Final = 20_000
MAX_PAGES: Final = 64

TEMPLATES: Final = (
    types.ResourceTemplate(
        name="device",
        title="A device",
        uri_template=f"{DEVICES}/{{name}}",
        description="Its board, transports and labels.",
        mime_type=JSON,
    ),
    types.ResourceTemplate(
        name="pins",
        title="A device's pin timeline",
        uri_template=f"{DEVICES}/{{name}}/pins",
        description="Level changes that the board counted: edges as [ms, pin, level], and by pin as [ms, level].",
        mime_type=JSON,
    ),
    types.ResourceTemplate(
        name="trial",
        title="The pin timeline of a trial",
        uri_template=f"{SCHEME}trials/{{id}}",
        description="What a program did at the pins when it was tried or deployed in this session.",
        mime_type=JSON,
    ),
)


async def list_resources(visit: Visit, trials: Trials) -> list[types.Resource]:
    found = [
        types.Resource(uri=HEADER, name="microclaw.h", title="What programs may call", mime_type="text/x-c"),
        types.Resource(uri=DEVICES, name="devices", title="Devices", mime_type=JSON),
    ]
    for device in (await visit.bridge.get("/v1/devices"))["devices"]:
        uri = f"{DEVICES}/{quote(device['name'], safe='')}"
        found.append(types.Resource(uri=uri, name=device["name"], title=f"Device {device['name']}", mime_type=JSON))
        title = f"Pin timeline of {device['name']}"
        found.append(types.Resource(uri=f"{uri}/pins", name=f"{device['name']} pins", title=title, mime_type=JSON))
    for trial in trials.of(visit.owner):
        uri = f"{SCHEME}trials/{trial['trial']}"
        found.append(types.Resource(uri=uri, name=f"trial {trial['trial']}", title=trial["summary"], mime_type=JSON))
    return found


def trial_link(trial_id: str) -> types.ResourceLink:
    uri = f"{SCHEME}trials/{trial_id}"
    return types.ResourceLink(type="resource_link", uri=uri, name=f"trial {trial_id}", mime_type=JSON)


async def read_resource(visit: Visit, trials: Trials, uri: str) -> types.TextResourceContents:
    """What is behind a URI. UnknownName for one that is none."""
    if uri == HEADER:
        header = (resources.files("microclaw.wasm") / "headers" / "microclaw.h").read_text(encoding="utf-8")
        return types.TextResourceContents(uri=uri, mime_type="text/x-c", text=header)
    text = escape_hidden(json.dumps(await _document(visit, trials, uri), ensure_ascii=False))
    return types.TextResourceContents(uri=uri, mime_type=JSON, text=text)


async def _document(visit: Visit, trials: Trials, uri: str) -> dict[str, Any]:
    words = [unquote(word) for word in uri.removeprefix(SCHEME).split("/")] if uri.startswith(SCHEME) else []
    match words:
        case ["devices"]:
            return await visit.bridge.get("/v1/devices")
        case ["devices", name]:
            return await visit.bridge.get(f"/v1/devices/{segment(name)}")
        case ["devices", name, "pins"]:
            return await _pins(visit, name)
        case ["trials", trial_id] if (trial := trials.get(visit.owner, trial_id)) is not None:
            return trial
    raise UnknownName(f"there is no resource {uri[:120]!r}", next_step="resources/list has them")


async def _pins(visit: Visit, name: str) -> dict[str, Any]:
    edges: list[list[float]] = []
    cursor = dropped = 0
    for _ in range(MAX_PAGES):
        page = await visit.bridge.get(f"/v1/devices/{segment(name)}/edges", {"cursor": cursor})
        edges += page["edges"]
        dropped += page["dropped"]
        if not page["edges"] or page["cursor"] == cursor or len(edges) > MAX_EDGES:
            break
        cursor = page["cursor"]
    kept = edges[-MAX_EDGES:]
    return {"device": name, "now_ms": page["now_ms"], "dropped": dropped, "edges": kept, "pins": by_pin(kept)}
