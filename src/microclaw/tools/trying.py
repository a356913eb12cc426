"""try-program and read-logs: a program on a throw-away virtual board, and what boards print. They change nothing."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from microclaw.apps.ports import Compile, Try
from microclaw.apps.terms import TrialInput, TrialTerms
from microclaw.bus.events import Evidence
from microclaw.devices.calls import LogLine, LogsRead
from microclaw.devices.device import Device
from microclaw.policy.gate import Effect, Permission
from microclaw.tools.fence import fenced
from microclaw.tools.programs import MAX_SOURCE_CHARS
from microclaw.tools.target import Devices, find_device
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput

MAX_EDGES: Final = 100
MAX_LOG_LINES: Final = 50
MAX_PAGES: Final = 16  # of a device's log


class InputParameters(Parameters):
    pin: int = Field(ge=0, le=255)
    level: int = Field(ge=0, le=1)
    at_s: float = Field(0.0, alias="atSeconds", ge=0, le=86_400)


class TryParameters(Parameters):
    source_code: str = Field(
        alias="sourceCode", min_length=1, max_length=MAX_SOURCE_CHARS, description="The C program."
    )
    device: str | None = Field(None, description="For which device's board; may be left out when there is only one.")
    for_s: float = Field(10.0, alias="forSeconds", gt=0, le=3600, description="Board time; it passes quickly.")
    heap_size: int = Field(8192, alias="heapSize", ge=1024, le=131_072)
    inputs: tuple[InputParameters, ...] = Field((), max_length=64, description="Levels that come in from outside.")


class LogParameters(Parameters):
    device: str | None = Field(None, description="The device's name; may be left out when there is only one.")
    app: str | None = Field(None, max_length=126, description="Only what this program printed.")
    lines: int = Field(30, ge=1, le=200, description="The newest so many.")


def trying_tools(*, compile_source: Compile, try_image: Try, devices: Devices) -> tuple[Tool[Any], ...]:
    """try-program, read-logs."""

    async def try_program(asked: TryParameters, context: ToolContext) -> ToolOutput:
        board = find_device(devices, context, device=asked.device).board
        image = await compile_source(asked.source_code, board, name="trial", optimization="O3")
        inputs = tuple(TrialInput(each.pin, each.level, each.at_s * 1000) for each in asked.inputs)
        terms = TrialTerms(asked.for_s * 1000, inputs, heap_bytes=asked.heap_size)
        trial = await try_image(image, board, terms)
        fields = {
            "success": trial.ok,
            "summary": trial.summary(),
            "ended": trial.ended,
            "pins": list(trial.pins),
            "edges": [[round(edge.t_ms, 1), edge.pin, edge.level] for edge in trial.edges[:MAX_EDGES]],
            "edge_count": len(trial.edges),
            "log": list(trial.log[:MAX_LOG_LINES]),
            "binarySize": image.size_bytes,
            "peak_heap_bytes": trial.peak_heap_bytes,
            "warnings": [*(found.render() for found in image.warnings[:5]), *trial.warnings[:5]],
        }
        if not trial.ok:
            fields |= {"error": trial.error, "next": trial.next_step}
        kept = tuple(trial.edges[:MAX_EDGES])
        return ToolOutput(fields, (Evidence("counted", f"on a virtual board: {trial.summary()}", kept),))

    async def read_logs(asked: LogParameters, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, device=asked.device)
        lines = [line for line in await _log(device) if asked.app in (None, line.app)]
        shown = "\n".join(f"{line.t_ms / 1000:.2f} s {line.app or '-'}: {line.text}" for line in lines[-asked.lines :])
        fields = {"success": True, "device": device.name, "count": len(lines[-asked.lines :])}
        fields["lines"] = fenced(_clean(shown)[-6000:], f"printed by programs on {device.name}")
        return ToolOutput(fields, (Evidence("reported", f"printed on {device.name}"),))

    read, idle = Permission.READ, Effect.READ
    text = (
        "Try a C program on a throw-away virtual board: its edges over time, its output, its memory. No device changes."
    )
    return (
        Tool("try-program", text, TryParameters, read, idle, try_program),
        Tool("read-logs", "What a device's programs printed.", LogParameters, read, idle, read_logs, foreign=True),
    )


async def _log(device: Device) -> list[LogLine]:
    lines: list[LogLine] = []
    cursor = 0
    for _ in range(MAX_PAGES):
        page = await device.call(LogsRead(cursor=cursor))
        lines += page.lines
        if not page.lines or page.cursor == cursor:
            break
        cursor = page.cursor
    return lines


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
