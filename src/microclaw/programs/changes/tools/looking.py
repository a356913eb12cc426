"""Tools that look: try a program on a virtual board, read what programs printed, counted edges and free pins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Final, TypeVar, get_args

from msgspec import Meta, field, structs

from microclaw.devices.registry.act_tool import complete_device
from microclaw.devices.registry.calls import AppList, AppStates, ConsoleLines, EdgeLog, EdgesRead, LogLine
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.target import DeviceParameters, device_tool
from microclaw.devices.transports import virtual_board
from microclaw.errors import DeviceError, ToolRetry
from microclaw.events import Edge, Evidence
from microclaw.hardware.boards.profile import PinUse
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.programs.changes.authors import own_programs
from microclaw.programs.changes.claims import pin_roles, unknown_pins_text
from microclaw.programs.changes.program_state import look_at_claims
from microclaw.programs.changes.services import AppServices
from microclaw.programs.changes.tool_forms import Expected, SourceCode, proof_fields, warnings_of
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.expectations import PinStimulus
from microclaw.programs.proof.trial import TrialOptions
from microclaw.text import fence_text
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES

_USES: Final = tuple(get_args(PinUse))
MAX_EDGES: Final = 100
MAX_LOG_LINES: Final = 50
MAX_LOG_PAGES: Final = 16
MAX_EDGE_PAGES: Final = 64
Page = TypeVar("Page", ConsoleLines, EdgeLog)


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
    """try-program, read-logs."""
    devices = apps.registry
    source_log = apps.source_log
    complete = complete_device(devices, apps.change_log.holds, "app")

    async def try_program(device: Device, asked: TryParameters, _: ToolContext) -> ToolOutput:
        image = await apps.compile(asked.source_code, device.board, "trial", "O3", None, device.kinds)
        inputs = tuple(PinStimulus(each.pin, each.level, each.at_s * 1000) for each in asked.inputs)
        expectations = None
        if asked.expect is not None and asked.expect.strip():
            expectations = parse_expectations(asked.expect)
        options = TrialOptions(asked.for_s * 1000, inputs, heap_bytes=asked.heap_size, expectations=expectations)
        trial = await apps.try_image(image, device.board, options)
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
            "warnings": warnings_of(image, trial),
            **proof_fields(trial, trial.expected),
        }
        if not trial.ok:
            fields |= {"error": trial.error, "next": trial.next_step}
        return ToolOutput(fields, (Evidence("counted", f"on a virtual board: {trial.summary()}", tuple(edges)),))

    async def read_logs(device: Device, asked: LogParameters, context: ToolContext) -> ToolOutput:
        pages = _pages(partial(source_log.read, device), 0, MAX_LOG_PAGES)
        lines = [line async for page in pages for line in page.lines if asked.app in (None, line.app)]
        newest = lines[-asked.lines :]
        shown = "\n".join(f"{line.t_ms / 1000:.2f} s {line.app or '-'}: {line.text}" for line in newest)
        fenced = fence_text(shown[-6000:], f"printed by programs on {device.name}")
        programs = await own_programs(apps.change_log, device.device_id, context.person_id)
        return ToolOutput(
            {"count": len(newest), "lines": fenced},
            (Evidence("reported", f"printed on {device.name}"),),
            foreign=not _is_own_text(device, newest, programs.words),
        )

    tries = (
        "Try a program on a throw-away virtual board: its edges over time, its output, its memory. No device changes."
    )
    logs = "What a device's programs printed."
    return (
        device_tool(devices, "try-program", tries, TryParameters, try_program),
        device_tool(devices, "read-logs", logs, LogParameters, read_logs, complete=complete),
    )


def _is_own_text(device: Device, lines: Sequence[LogLine], own: Collection[str]) -> bool:
    """True if nobody else has written the lines: `own` programs, or the firmware of a virtual board, which is ours."""
    virtual = any(endpoint.startswith(virtual_board.SCHEME) for endpoint in device.endpoints)
    return all(virtual if line.app is None else line.app in own for line in lines)


async def _pages(read: Callable[[int], Awaitable[Page]], cursor: int, most: int) -> AsyncIterator[Page]:
    """The pages of a ring from there on; the last one has nothing new."""
    for _ in range(most):
        page = await read(cursor)
        yield page
        if page.cursor == cursor:
            break
        cursor = page.cursor


class EdgesParameters(DeviceParameters, kw_only=True):
    pin: Annotated[int, Meta(ge=0, le=255, description="Only this pin.")] | None = None
    cursor: Annotated[int, Meta(ge=0, description="Where an earlier reading ended; 0: the oldest kept.")] = 0
    last: Annotated[int, Meta(ge=1, le=200, description="The newest so many.")] = 50


def edges_tool(apps: AppServices) -> Tool[EdgesParameters]:
    """read-edges."""

    async def read_edges(device: Device, asked: EdgesParameters, _: ToolContext) -> ToolOutput:
        found: list[Edge] = []
        dropped = 0
        async for page in _pages(lambda cursor: device.call(EdgesRead(cursor=cursor)), asked.cursor, MAX_EDGE_PAGES):
            found += [edge for edge in page.edges if asked.pin in (None, edge.pin)]
            dropped += page.dropped
        fields = {
            "edges": [[round(edge.t_ms, 1), edge.pin, edge.level] for edge in found[-asked.last :]],
            "count": len(found),
            "dropped": dropped,
            "cursor": page.cursor,
            "now_ms": page.now_ms,
        }
        pins = sorted({edge.pin for edge in found})
        if pins:
            where = f" on pin {', '.join(map(str, pins))}"
        else:
            where = ""
        return ToolOutput(fields, (Evidence("counted", f"{len(found)} edges{where}, counted by {device.name}"),))

    text = "When which pin of a device changed its level: [milliseconds, pin, level]. Only boards that count edges."
    return device_tool(apps.registry, "read-edges", text, EdgesParameters, read_edges)


class PinsParameters(DeviceParameters, kw_only=True):
    use: Annotated[str, Meta(max_length=20, description=f"Only for this: {', '.join(_USES)}.")] | None = None


def pins_tool(apps: AppServices) -> Tool[PinsParameters]:
    """free-pins."""

    async def free_pins(device: Device, asked: PinsParameters, _: ToolContext) -> ToolOutput:
        if asked.use not in (None, *_USES):
            raise ToolRetry(f"a pin is not used for {asked.use!r}", next_step=f"uses: {', '.join(_USES)}")
        board = device.board
        there = await look_at_claims(apps.change_log, device)
        taken: dict[int, str] = {}
        for app in there.others:
            taken |= dict.fromkeys(pin_roles(app.version), app.name)
        caution = defaultdict[str, list[int]](list)
        reserved = defaultdict[str, list[int]](list)
        for pin in sorted(board.pins.values(), key=lambda one: one.number):
            if pin.reserved:
                reserved[pin.reserved].append(pin.number)
            elif pin.caution:
                caution[pin.caution].append(pin.number)
        free = {use: [pin for pin in board.free_pins(use) if pin not in taken] for use in _USES}
        fields: dict[str, Any] = {
            "board": board.title,
            "chip": board.chip,
            "free": {use: pins for use, pins in free.items() if asked.use in (None, use)},
            "taken": {str(pin): name for pin, name in sorted(taken.items())},
            "caution": caution,
            "reserved": reserved,
            "led": board.no_led or "none that a program can switch",
            "maxApps": board.firmware.max_apps,
        }
        if board.led is not None:
            fields["led"] = {"pin": board.led.pin, "kind": board.led.kind, "on": board.led.active_level}
        if device.supports(AppList.method) and not device.supports(AppStates.method):
            with suppress(DeviceError):
                there = structs.replace(there, listed=await device.call(AppList(), wait=False))
                unknown = unknown_pins_text(device, there.foreign)
                if unknown is not None:
                    fields["unknown"] = unknown
        if board.i2c is not None:
            sensors = {name: f"0x{address:02x}" for name, address in board.i2c.sensors.items()}
            fields["i2c"] = {"sda": board.i2c.sda, "scl": board.i2c.scl, "sensors": sensors}
        return ToolOutput(fields)

    text = (
        "Which pins of a device are free and what for, which a program has, which are reserved and why; its LED and "
        "I2C pins. Look here before you choose a pin."
    )
    return device_tool(apps.registry, "free-pins", text, PinsParameters, free_pins)
