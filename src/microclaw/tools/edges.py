"""read-edges: the level changes that a board counted at its pins. It changes nothing and deletes none."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from microclaw.bus.events import Edge, Evidence
from microclaw.devices.calls import EdgesRead
from microclaw.policy.gate import Effect, Permission
from microclaw.tools.target import Devices, find_device
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput

MAX_PAGES: Final = 64


class EdgesParameters(Parameters):
    device: str | None = Field(None, description="The device's name; may be left out when there is only one.")
    pin: int | None = Field(None, ge=0, le=255, description="Only this pin.")
    cursor: int = Field(0, ge=0, description="Where an earlier reading ended; 0: from the oldest that is kept.")
    last: int = Field(50, ge=1, le=200, description="The newest so many.")


def edge_tools(*, devices: Devices) -> tuple[Tool[Any], ...]:
    """read-edges."""

    async def read_edges(asked: EdgesParameters, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, device=asked.device)
        found: list[Edge] = []
        cursor, dropped = asked.cursor, 0
        for _ in range(MAX_PAGES):
            page = await device.call(EdgesRead(cursor=cursor))
            found += [edge for edge in page.edges if asked.pin in (None, edge.pin)]
            dropped += page.dropped
            if not page.edges or page.cursor == cursor:
                break
            cursor = page.cursor
        kept = found[-asked.last :]
        fields = {
            "success": True,
            "device": device.name,
            "edges": [[round(edge.t_ms, 1), edge.pin, edge.level] for edge in kept],
            "count": len(found),
            "dropped": dropped,
            "cursor": cursor,
            "now_ms": page.now_ms,
        }
        pins = sorted({edge.pin for edge in found})
        where = f" on pin {', '.join(map(str, pins))}" if pins else ""
        return ToolOutput(fields, (Evidence("counted", f"{len(found)} edges{where}, counted by {device.name}"),))

    text = "When which pin of a device changed its level: [milliseconds, pin, level]. Only boards that count edges."
    return (Tool("read-edges", text, EdgesParameters, Permission.READ, Effect.READ, read_edges),)
