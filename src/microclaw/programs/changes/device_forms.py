"""The acts on devices as a model calls them: check one, and read the edges that it counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from msgspec import Meta, structs

from microclaw.devices.registry.calls import EdgeLog
from microclaw.events import Edge, Evidence
from microclaw.host.operations.forms import ToolForm
from microclaw.host.operations.tool import ToolOutput

if TYPE_CHECKING:
    from microclaw.devices.registry.act_tool import ToolUse
    from microclaw.devices.registry.examine import Examination
    from microclaw.programs.changes.device_operations import DeviceService

    DeviceUse: TypeAlias = ToolUse[DeviceService]

MAX_EDGE_PAGES: Final = 64


async def _checked(use: DeviceUse, examination: Examination) -> ToolOutput:
    lines = list(map(structs.asdict, examination.findings))
    answer = "answered" if examination.reached else "did not answer"
    evidence = Evidence("reported", f"{use.device.name} {answer} just now")
    return ToolOutput({"reached": examination.reached, "ok": examination.ok, "lines": lines}, (evidence,))


async def _edges(use: DeviceUse, first: EdgeLog) -> ToolOutput:
    edges: list[Edge] = []
    dropped_count = 0
    pages = await _with_further_pages(use, first)
    for page in pages:
        edges += [edge for edge in page.edges if use.arguments.pin in (None, edge.pin)]
        dropped_count += page.dropped
    last_page = pages[-1]
    fields = {
        "edges": [[round(edge.t_ms, 1), edge.pin, edge.level] for edge in edges[-use.arguments.last :]],
        "count": len(edges),
        "dropped": dropped_count,
        "cursor": last_page.cursor,
        "now_ms": last_page.now_ms,
    }
    pins = sorted({edge.pin for edge in edges})
    where = ""
    if pins:
        where = f" on pin {', '.join(map(str, pins))}"
    return ToolOutput(fields, (Evidence("counted", f"{len(edges)} edges{where}, counted by {use.device.name}"),))


async def _with_further_pages(use: DeviceUse, first: EdgeLog) -> list[EdgeLog]:
    """Return the first page of edges and those after it; the last one has nothing new."""
    pages = [first]
    cursor = use.values.get("cursor", 0)
    while pages[-1].cursor != cursor and len(pages) < MAX_EDGE_PAGES:
        cursor = pages[-1].cursor
        pages.append(await use.run(use.service, use.context, **{**use.values, "cursor": cursor}))
    return pages


CHECK: Final = ToolForm(
    "check-device", "Reach a device now: how it answers, and what is wrong.", fields={}, output=_checked
)
EDGES: Final = ToolForm(
    "read-edges",
    "When which pin of a device changed its level: [milliseconds, pin, level]. Only boards that count edges.",
    fields={"cursor": "cursor"},
    kinds={
        "cursor": Annotated[int, Meta(ge=0, description="Where an earlier reading ended; 0: the oldest kept.")],
    },
    extra={
        "pin": (Annotated[int, Meta(ge=0, le=255, description="Only this pin.")] | None, None),
        "last": (Annotated[int, Meta(ge=1, le=200, description="The newest so many.")], 50),
    },
    output=_edges,
)
