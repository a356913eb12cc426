"""The acts of hands on a virtual board's parts: set values, and do a part's verb."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from microclaw.devices.link.operations import DeviceName
from microclaw.host.operations.forms import CommandForm, ToolForm
from microclaw.host.operations.operation import NAME, Effect, OperationCall, Option, Permission, operation
from microclaw.programs.bench.hands import MAX_HOLD_MS, MAX_TIMES, MovedPart, do_verb, set_values
from microclaw.programs.changes import device_calls as device_calls  # its acts are of this noun, too
from microclaw.programs.changes.device_operations import DeviceService
from microclaw.programs.run_times import parse_time_ms

PartId: TypeAlias = Annotated[
    str, Meta(pattern=NAME, max_length=64, description="The part's id."), Option(argument=True, metavar="PART")
]


SET_SENSOR = ToolForm(
    "set-sensor",
    "Set a value of a virtual board's part, as a temperature.",
    fields={"part": "part", "values": "values"},
    required=frozenset({"values"}),
)
PRESS = ToolForm(
    "press",
    "Press, turn or open a virtual board's part.",
    fields={"part": "part", "verb": "verb", "argument": "argument", "for_ms": "for", "times": "times"},
    kinds={"for_ms": Annotated[str, Meta(max_length=16, description="As 200ms.")] | None},
)


@operation(
    "device.set-part",
    http="PATCH /v1/devices/{device}/parts/{part}",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    tool=SET_SENSOR,
    command=CommandForm(verb="set", said="{text}"),
)
async def set_part(
    service: DeviceService,
    _: OperationCall,
    device: DeviceName,
    part: PartId,
    *,
    values: Annotated[
        dict[str, float], Meta(max_length=64, description="Numbers by their names."), Option(hidden=True)
    ] = {},  # noqa: B006  msgspec copies it
    settings: Annotated[
        list[Annotated[str, Meta(max_length=64)]],
        Meta(max_length=64, description="As 70% or temperature=25."),
        Option(rest=True, metavar="VALUE..."),
    ] = [],  # noqa: B006
) -> MovedPart:
    """Set inputs or measured values of a virtual board's part, as a knob's position or a temperature."""
    return await set_values(service.registry.get(device), part, values, settings)


@operation(
    "device.do",
    http="POST /v1/devices/{device}/parts/{part}/do",
    permission=Permission.ACT,
    tool=PRESS,
    command=CommandForm(said="{text}"),
)
async def do(
    service: DeviceService,
    _: OperationCall,
    device: DeviceName,
    part: PartId,
    verb: Annotated[str, Meta(min_length=1, max_length=32, description="As press, turn, open.")],
    *,
    argument: Annotated[
        str | None, Meta(max_length=16, description="A number, or a key of a keypad."), Option(argument=True)
    ] = None,
    for_ms: Annotated[
        float | None,
        Meta(gt=0, le=MAX_HOLD_MS, description="For how long, in ms."),
        Option("--for", metavar="TIME", reads=parse_time_ms),
    ] = None,
    times: Annotated[int, Meta(ge=1, le=MAX_TIMES, description="How often, if it ends by itself.")] = 1,
) -> MovedPart:
    """Do a verb of a virtual board's part, as press or turn."""
    board = service.registry.get(device)
    return await do_verb(board, part, verb, argument, hold_ms=for_ms, times=times)
