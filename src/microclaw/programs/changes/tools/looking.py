"""Tools that look: try a program on a virtual board, and read what programs printed."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from microclaw.devices.registry.act_tool import complete_device
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.target import DeviceParameters, device_tool
from microclaw.events import Evidence
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.programs.changes.authors import own_programs
from microclaw.programs.changes.services import AppServices
from microclaw.programs.changes.tool_forms import Expected, SourceCode, network_fields, proof_fields, warnings_of
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.stimuli import PinStimulus
from microclaw.programs.proof.trial import TrialOptions
from microclaw.text import count_text, fence_text
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES

MAX_EDGES: Final = 100
MAX_LOG_LINES: Final = 50


class InputParameters(Parameters, kw_only=True):
    pin: Annotated[int, Meta(ge=0, le=255)]
    level: Annotated[int, Meta(ge=0, le=1)]
    at_s: Annotated[float, Meta(ge=0, le=86_400)] = field(name="atSeconds", default=0.0)


class TryParameters(DeviceParameters, kw_only=True, rename="camel"):
    source_code: SourceCode
    for_s: Annotated[float, Meta(gt=0, le=3600, description="Board time; it passes quickly.")] = field(
        name="forSeconds", default=10.0
    )
    heap_size: Annotated[int, Meta(ge=1024, le=131_072)] = DEFAULT_HEAP_BYTES
    inputs: Annotated[tuple[InputParameters, ...], Meta(max_length=64, description="Levels from outside.")] = ()
    expect: Expected = None


class LogParameters(DeviceParameters, kw_only=True):
    app: Annotated[str, Meta(max_length=126, description="Only what this program printed.")] | None = None
    lines: Annotated[int, Meta(ge=1, le=200, description="The newest so many.")] = 30


def trying_tools(apps: AppServices) -> tuple[Tool[Any], ...]:
    """Make try-program and read-logs."""
    looking = _Looking(apps)
    return (
        device_tool(
            apps.registry,
            "try-program",
            "Try a program on a throw-away virtual board: its edges over time, its output, its memory. No device "
            "changes.",
            TryParameters,
            looking.try_program,
        ),
        device_tool(
            apps.registry,
            "read-logs",
            "What a device's programs printed.",
            LogParameters,
            looking.read_logs,
            complete=complete_device(apps.registry, apps.change_log.holds, "app"),
        ),
    )


class _Looking(Struct, frozen=True):
    apps: AppServices

    async def try_program(self, device: Device, asked: TryParameters, _: ToolContext) -> ToolOutput:
        image = await self.apps.compile(asked.source_code, device.board, "trial", "O3", None, device.kinds)
        trial = await self.apps.try_image(image, device.board, _trial_options(asked, device))
        edges = trial.edges[:MAX_EDGES]
        fields = {
            "success": trial.ok,
            "summary": trial.summary(),
            "ended": trial.ended,
            "pins": list(trial.pins),
            "edges": [[round(edge.t_ms, 1), edge.pin, edge.level] for edge in edges],
            "edge_count": len(trial.edges),
            "log": list(trial.log[:MAX_LOG_LINES]),
            "binarySize": image.size_bytes,
            "peak_heap_bytes": trial.peak_heap_bytes,
            **network_fields(image.network),
            "warnings": warnings_of(image, trial),
            **proof_fields(trial, trial.expected),
        }
        if not trial.ok:
            fields |= {"error": trial.error, "next": trial.next_step}
        evidence = Evidence("counted", f"on a virtual board: {trial.summary()}", tuple(edges))
        return ToolOutput(fields, (evidence,), screens=trial.pictures)

    async def read_logs(self, device: Device, asked: LogParameters, context: ToolContext) -> ToolOutput:
        """Return the lines that the person's own programs printed; without any, or for a named program, all of them.

        Words of others make later acts ask, so they are read only where someone wants them.
        """
        lines = await self.apps.source_log.read_kept(device, asked.app)
        programs = await own_programs(self.apps.change_log, device.device_id, context.person_id)
        own_lines = [line for line in lines if programs.wrote_all(device, [line])]
        left_out = {}
        if asked.app is None and any(line.app is not None for line in own_lines) and len(own_lines) < len(lines):
            count = count_text(len(lines) - len(own_lines), "line")
            left_out = {"leftOut": f"{count} of programs that may print words of others: name one with `app`"}
            lines = own_lines
        newest = lines[-asked.lines :]
        shown = "\n".join(f"{line.t_ms / 1000:.2f} s {line.app or '-'}: {line.text}" for line in newest)
        fenced = fence_text(shown[-6000:], f"printed by programs on {device.name}")
        return ToolOutput(
            {"count": len(newest), "lines": fenced, **left_out},
            (Evidence("reported", f"printed on {device.name}"),),
            foreign=not programs.wrote_all(device, newest),
        )


def _trial_options(asked: TryParameters, device: Device) -> TrialOptions:
    inputs = tuple(PinStimulus(each.pin, each.level, each.at_s * 1000) for each in asked.inputs)
    expectations = None
    if asked.expect is not None and asked.expect.strip():
        expectations = parse_expectations(asked.expect)
    return TrialOptions(
        asked.for_s * 1000,
        inputs,
        heap_bytes=asked.heap_size,
        expectations=expectations,
        record=device.record,
    )
